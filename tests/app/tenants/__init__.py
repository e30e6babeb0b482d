"""Tests of app/tenants."""
