"""Keeps memory that one step frees for the next one, instead of giving it back to the system in between.

glibc returns the top of its heap whenever enough of it is free, and maps every block of more than 32 MiB anew. A step frees its
whole graph, so the next step would fault every page in again: 8 to 15 % of the CPU time of a meta-gradient, and 35 to 43 % of
that of training steps on 128 real sequences of 50 events, of 1,682 and 2,000 different ones (``docs/log.md``, 2026-11-27). The
settings are the process's; afterwards they are put to the upper end of the range that glibc itself moves them in, and what is
free goes back. Other C libraries are left alone.
"""

from __future__ import annotations

import ctypes
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# malloc.h of glibc
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_LARGEST_MMAP_THRESHOLD = 32 << 20
_DEFAULT_MMAP_MAX = 65536
_NEVER = (1 << 31) - 1

_lock = threading.Lock()
_users: Counter[bool] = Counter()


@contextmanager
def freed_memory_kept(*, large_blocks: bool = False) -> Iterator[None]:
    """Run what is inside with a heap that only grows; such contexts may lie in each other.

    Args:
        large_blocks: keep those of more than 32 MiB as well. For steps that are all alike, such as a training's: blocks of many
            sizes tear holes into a heap, which only its end closes.
    """
    _count_user(large_blocks, 1)
    try:
        yield
    finally:
        _count_user(large_blocks, -1)


def _count_user(large_blocks: bool, change: int) -> None:
    with _lock:
        _users[large_blocks] += change
        _call("mallopt", _M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        _call("mallopt", _M_MMAP_MAX, 0 if _users[True] else _DEFAULT_MMAP_MAX)
        _call("mallopt", _M_TRIM_THRESHOLD, _NEVER if _users.total() else 2 * _LARGEST_MMAP_THRESHOLD)
        if not _users.total():
            _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    """Call a function of the C library, where it has one of that name."""
    with suppress(AttributeError, OSError, TypeError):
        getattr(ctypes.CDLL(None), name)(*arguments)
