"""Limits on this very process, set after its imports: a hostile file costs one small process and nothing else."""

from __future__ import annotations

import resource
from pathlib import Path


def limit_process(memory_bytes: int, cpu_s: int) -> None:
    """Allow this process ``memory_bytes`` and ``cpu_s`` beyond what it already uses, and no core dump.

    Too much memory raises MemoryError or aborts; too much time ends the process with SIGXCPU.
    """
    _limit(resource.RLIMIT_AS, _address_space_bytes() + memory_bytes)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + cpu_s)
    _limit(resource.RLIMIT_CORE, 0)


def _limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _address_space_bytes() -> int:
    """Address space in use: libraries map gigabytes that they never touch, which are no fault of the file."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 0
