"""Faults injected into real processes, and what must hold afterwards, read from outside: ``python -m tests.chaos --help``."""
