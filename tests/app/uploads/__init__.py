"""Tests of app/uploads."""
