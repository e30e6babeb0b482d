"""The committed log of what was injected: one line of JSON for each command that was run, appended, never edited."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.outcome import Outcome, percentiles

LOG = Path(__file__).with_name("results.jsonl")
MOST_VIOLATIONS = 20


def append_result(path: Path, fault: str, command: str, seed: int, seconds: float, commit: str, outcome: Outcome) -> Row:
    """Write what came of one command, and return it; the load is the machine's over the last quarter of an hour."""
    load = round(os.getloadavg()[2], 1)
    row = {
        "fault": fault,
        "command": command,
        "seed": seed,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "machine": {"cpus": len(os.sched_getaffinity(0)), "python": platform.python_version(), "load": load},
        "seconds": round(seconds, 1),
        "injected": outcome.injected,
        "counts": dict(sorted(outcome.counts.items())),
        "recovery_s": percentiles(outcome.recoveries_s),
        "recoveries_s": sorted(round(seconds, 1) for seconds in outcome.recoveries_s),
        "num_violations": len(outcome.violations),
        "violations": outcome.violations[:MOST_VIOLATIONS],
    }
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(row) + "\n")
    return row


def read_results(path: Path = LOG) -> list[dict[str, Any]]:
    """Return every line of the log, oldest first."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


Row = dict[str, Any]
