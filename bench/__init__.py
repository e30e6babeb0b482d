"""Benchmarks: each runs by itself and writes its figures to ``bench/results``."""
