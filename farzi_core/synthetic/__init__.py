"""Synthetic data: its parameterisation, and the hard sequences drawn from it."""
