"""Benchmarks against peers: each module runs by itself, writes its figures to ``bench/results`` and shows them as a table."""
