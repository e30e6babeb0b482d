"""Which processes of a service there are, as the operating system has them: found by an environment variable they inherit."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RUN_MODULE = b"worker.run"


@dataclass(frozen=True)
class LiveRun:
    """A process that runs a job."""

    pid: int
    parent_pid: int
    job_id: str
    token: int

    def kill(self) -> bool:
        """End it without a word; return whether it was still there."""
        return send(self.pid, signal.SIGKILL)


def find_runs(data_dir: Path) -> list[LiveRun]:
    """Return the runs of the service that keeps its files in ``data_dir``; a process that waits to be reaped is none."""
    return [run for run in _all_runs() if _belongs(run.pid, data_dir)]


def tree_of(pid: int) -> list[int]:
    """Return a process and everything that it and its children have started, eldest first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    tree = [pid]
    for member in tree:
        tree += children.get(member, [])
    return tree


def send(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def exit_status(pid: int) -> int | None:
    """Return the exit code of a process that has ended and that nobody reaped yet; None while it lives."""
    fields = _stat(pid)
    if fields is None or fields[0] != "Z":
        return None
    status = int(fields[-1])
    return status >> 8 if status & 0x7F == 0 else -(status & 0x7F)


def describe(pid: int) -> str:
    """Say what a process does that should have ended: state, seconds of processor time, and where its threads wait."""
    fields = _stat(pid)
    if fields is None:
        return "gone"
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    waits = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            waits.append((thread / "wchan").read_text() or "running")
    return f"state {fields[0]} after {seconds:.1f} s of processor time, threads in {', '.join(sorted(waits))}"


def _all_runs() -> Iterator[LiveRun]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if RUN_MODULE in words:
            job_id, token = words[words.index(RUN_MODULE) + 1 :][:2]
            fields = _stat(int(entry.name))
            if fields is not None and fields[0] != "Z":
                yield LiveRun(int(entry.name), int(fields[1]), job_id.decode(), int(token))


def _belongs(pid: int, data_dir: Path) -> bool:
    try:
        return f"FARZI_DATA_DIR={data_dir}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _stat(pid: int) -> list[str] | None:
    """Return what ``/proc/PID/stat`` says after the name: state, parent, ... , exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
