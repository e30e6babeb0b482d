"""Limits on this very process, set after its imports: a hostile file or a large spec costs one process and nothing else."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.settings import Settings


@contextmanager
def limited_process(memory_bytes: int, cpu_s: int) -> Iterator[None]:
    """Allow this process ``memory_bytes`` and ``cpu_s`` beyond what it already uses, until the block ends; never a core dump.

    Too much memory raises MemoryError or aborts; too much time ends the process with SIGXCPU.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    limits = {
        resource.RLIMIT_AS: _address_space_bytes() + memory_bytes,
        resource.RLIMIT_CPU: int(used.ru_utime + used.ru_stime) + cpu_s,
    }
    before = {which: resource.getrlimit(which) for which in limits}
    _limit(resource.RLIMIT_CORE, 0)
    for which, value in limits.items():
        _limit(which, value)
    try:
        yield
    finally:
        # What comes after is the service's own: it must be able to say that the file was too much.
        for which, limit in before.items():
            resource.setrlimit(which, limit)


@contextmanager
def capped_memory(memory_bytes: int | None) -> Iterator[None]:
    """Let allocations of this process fail beyond ``memory_bytes``, before the kernel ends it or a neighbour instead.

    What counts is memory that can be written, not address space: CUDA reserves terabytes of that. None is no limit.
    """
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if memory_bytes is not None:
        _limit(resource.RLIMIT_DATA, memory_bytes)
    try:
        yield
    finally:
        # Whoever cleans up after the one that took too much needs a little too.
        resource.setrlimit(resource.RLIMIT_DATA, before)


def describe_limits(settings: Settings) -> str:
    """Return what the owner of a file is told that broke a limit of its validation."""
    return (
        f"Reading the file took more than {settings.validation_memory_bytes} bytes of memory or "
        f"{settings.validation_cpu_s} s of processor time; upload a smaller file, or one with fewer distinct ids."
    )


def _limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _address_space_bytes() -> int:
    """Address space in use: libraries map gigabytes that they never touch, which are no fault of the file."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 0
