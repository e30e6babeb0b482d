"""Tests of app/datasets."""
