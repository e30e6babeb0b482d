"""Tests of the project itself: its layers, build files, deployment files and documents."""
