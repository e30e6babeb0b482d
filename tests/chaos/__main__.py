"""``python -m tests.chaos FAULT --count N --seed S``: inject one fault many times, and append what came of it to the log."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.chaos.outcome import Goal
from tests.chaos.results import LOG, append_result
from tests.chaos.table import FAULTS, Fault


def main(arguments: list[str] | None = None) -> int:
    """Run one fault, or all with the counts of the table; exit 1 if a promise did not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Inject faults into a service of real processes."
    )
    parser.add_argument("fault", choices=[*FAULTS, "all"])
    parser.add_argument("--count", type=int, help="how often; default: as docs/reliability.md asks for")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="inject no more after so long; default: until the count"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, default=LOG, help="file that a line of JSON is appended to")
    parser.add_argument("--keep", action="store_true", help="keep the directory with logs and data, and name it")
    given = parser.parse_args(arguments)
    chosen = list(FAULTS.values()) if given.fault == "all" else [FAULTS[given.fault]]
    return max([_run(fault, given) for fault in chosen])


def _run(fault: Fault, given: argparse.Namespace) -> int:
    count = given.count or fault.count
    directory = Path(tempfile.mkdtemp(prefix=f"farzi-chaos-{fault.name}-"))
    started = time.monotonic()
    try:
        with fault.cluster(directory / "service", **fault.settings) as cluster:
            outcome = fault.inject(cluster, Goal(count, started + 60 * given.minutes), Random(given.seed))
    finally:
        if given.keep:
            sys.stdout.write(f"{directory}\n")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    limit = "" if math.isinf(given.minutes) else f" --minutes {given.minutes:g}"
    command = f"python -m tests.chaos {fault.name} --count {count} --seed {given.seed}{limit}"
    seconds = time.monotonic() - started
    row = append_result(given.log, fault.name, command, given.seed, seconds, _commit(), outcome)
    sys.stdout.write(json.dumps(row, indent=1) + "\n")
    return int(bool(outcome.violations))


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
