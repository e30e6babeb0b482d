"""Runs the race: which measurements there are, in which order, each in a process of its own.

Rounds follow each other and contestants take turns within a round, so that whatever else the machine does meets all alike.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from bench.metagrad.contestants import BASELINE, CONTESTANTS, FLAT, LIBRARIES
from bench.metagrad.measuring import MEMORY_LIMIT_BYTES
from bench.metagrad.problem import BETAS, EPS, EPS_ROOT, LEARNING_RATE, SASREC, SETTINGS, TINY, TRANSFORMER, Array

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "make bench"
AGREEMENT_LENGTH = 5
AGREEMENT = 1e-4  # float32 rounding, after a few steps
ROUNDS = {
    SASREC.name: {5: 1, 20: 5, 40: 5, 60: 1, 100: 1, 200: 1},
    TRANSFORMER.name: {5: 1, 20: 3, 60: 1},
}
LONG = 100
SWEEP_LENGTHS = (50, 200, 1000)

Results = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One measurement to make."""

    setting: str
    contestant: str
    num_inner_steps: int
    round: int


class DisagreementError(Exception):
    """A contestant computes something else, so that its cost compares with nothing."""


def full_plan() -> list[Entry]:
    entries = [
        Entry(setting, contestant, length, turn)
        for turn in range(max(max(lengths.values()) for lengths in ROUNDS.values()))
        for setting, lengths in ROUNDS.items()
        for length, rounds in lengths.items()
        for contestant, takes_part in CONTESTANTS.items()
        if turn < rounds and (length < LONG or takes_part.in_long_loops)
    ]
    sweep = [Entry(SASREC.name, contestant, length, 0) for length in SWEEP_LENGTHS for contestant in FLAT]
    return sorted(dict.fromkeys(entries + sweep), key=lambda entry: entry.round)


def quick_plan() -> list[Entry]:
    return [Entry(TINY.name, contestant, 2, 0) for contestant in (BASELINE, "farzi stored")]


def run_race(plan: Iterable[Entry]) -> Results:
    """Make every measurement of a plan, in its order.

    Raises:
        DisagreementError: a contestant's gradient is not that of the first one.
    """
    with tempfile.TemporaryDirectory() as directory:
        measurements = list(_measure_all(plan, Path(directory)))
    return {
        "command": COMMAND,
        "measured_on": datetime.now(UTC).date().isoformat(),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "load_average_15_min": round(os.getloadavg()[2], 1)},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("torch", *LIBRARIES)},
        "adam": {"lr": LEARNING_RATE, "betas": BETAS, "eps": EPS, "eps_root": EPS_ROOT},
        "memory_limit_bytes": MEMORY_LIMIT_BYTES,
        "settings": [asdict(SETTINGS[name]) for name in dict.fromkeys(item["setting"] for item in measurements)],
        "measurements": measurements,
    }


def _measure_all(plan: Iterable[Entry], directory: Path) -> Iterator[dict[str, Any]]:
    expected: dict[tuple[str, int, int], Array] = {}
    for entry in plan:
        gradient_file = directory / "gradient.safetensors" if entry.num_inner_steps <= AGREEMENT_LENGTH else None
        measurement = asdict(entry) | _measure(entry, directory / "compiled", gradient_file)
        if gradient_file is not None and "norm" in measurement:
            gradient = load_file(gradient_file)["synthetic"]
            reference = expected.setdefault((entry.setting, entry.num_inner_steps, entry.round), gradient)
            error = float(np.linalg.norm(gradient - reference) / np.linalg.norm(reference))
            if not error <= AGREEMENT:
                raise DisagreementError(f"{entry} differs from {BASELINE} by {error:.1e}; {AGREEMENT:.0e} is rounding")
            measurement["error"] = error
        yield measurement


def _measure(entry: Entry, cache: Path, gradient_file: Path | None) -> dict[str, Any]:
    arguments = [entry.setting, entry.contestant, str(entry.num_inner_steps), "--cache", str(cache)]
    if gradient_file is not None:
        arguments += ["--gradient", str(gradient_file)]
    command = [sys.executable, "-m", "bench.metagrad.measuring", *arguments]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(output)
    return result


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
