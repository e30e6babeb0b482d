"""Data sets: declared, uploaded, validated."""
