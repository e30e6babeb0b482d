"""Keeps memory that one inner step frees for the next one, instead of giving it back to the system in between.

glibc returns the top of its heap whenever enough of it is free. A step frees its whole graph, so the next step would fault
every page in again: 8 to 15 % of the CPU time of a meta-gradient. The settings are the process's; afterwards they are put to
the upper end of the range that glibc itself moves them in, and memory goes back as usual. Other C libraries are left alone.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# malloc.h of glibc
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 << 20
_NEVER = (1 << 31) - 1


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Run what is inside with a heap that only grows."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        yield
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    mallopt(_M_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_MMAP_THRESHOLD)
