"""What the meta-gradient costs: each method against autograd through the unrolled inner loop, on one core.

Every measurement is a fresh process, so that no method pays for another's memory; methods take turns, and medians count. The
student is the SASRec of the demo (two blocks, H = 32) over V = 105 events, trained on S = 20 synthetic sequences of L = 50.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table
from torch import Tensor

from farzi_core.config import StudentConfig
from farzi_core.metagrad import AdamConfig, Method, compute_meta_gradient
from farzi_core.students import build_student, next_event_loss, soft_next_event_loss

RESULTS = Path(__file__).with_name("results") / "metagrad.json"
PEER: Method = "unrolled"
METHODS: tuple[Method, ...] = (PEER, "stored", "checkpointed", "truncated")
EXACT: tuple[Method, ...] = ("stored", "checkpointed")
WINDOW = 20
LENGTHS = (20, 50, 100)
REPEATS = 5
NUM_EVENTS, NUM_SEQUENCES, SEQUENCE_LENGTH, NUM_REAL, HIDDEN_SIZE = 105, 20, 50, 64, 32
AGREEMENT = 1e-2  # float32 rounding, grown by a hundred steps
COLUMNS = ("T", "method", "CPU seconds", "peak MiB", "time / unrolled", "memory / unrolled", "error of the norm")

Measurement = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", choices=get_args(Method), help="measure one method in this process and print JSON")
    parser.add_argument("--length", type=int, default=LENGTHS[0], help="inner steps T of --measure")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.length)))
        return
    medians = _medians(_measure_all())
    _check_agreement(medians)
    results = {"setting": _setting(), "medians": medians}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    table = Table(*(Column(name, no_wrap=name == "method") for name in COLUMNS), title="Meta-gradient through T inner steps")
    for row in table_rows(results):
        table.add_row(*row)
    Console().print(table)


def measure(method: Method, num_inner_steps: int) -> Measurement:
    """Compute one meta-gradient in this process; return CPU seconds, peak bytes above the start, and its norm."""
    torch.set_num_threads(1)
    arguments = _problem()
    # The first call of anything in torch pays for set-up that no later call pays for.
    compute_meta_gradient(**arguments, num_inner_steps=2, method="stored")
    at_start = _reset_peak()
    started = time.process_time()
    result = compute_meta_gradient(**arguments, num_inner_steps=num_inner_steps, method=method, window=WINDOW)
    seconds = time.process_time() - started
    return {
        "cpu_s": seconds,
        "peak_bytes": _memory("VmHWM") - at_start,
        "norm": float(result.synthetic["probabilities"].double().norm()),
    }


def table_rows(results: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of the table, as text."""
    peers = {row["num_inner_steps"]: row for row in results["medians"] if row["method"] == PEER}
    rows: list[tuple[str, ...]] = []
    for row in results["medians"]:
        peer = peers[row["num_inner_steps"]]
        cut_short = row["method"] == "truncated" and row["num_inner_steps"] > results["setting"]["window"]
        error = "" if row["method"] == PEER else "by design" if cut_short else f"{_error(row, peer):.0e}"
        rows.append(
            (
                str(row["num_inner_steps"]),
                row["method"],
                f"{row['cpu_s']:.2f}",
                f"{row['peak_bytes'] / 2**20:.0f}",
                f"{row['cpu_s'] / peer['cpu_s']:.2f}",
                f"{row['peak_bytes'] / peer['peak_bytes']:.3f}",
                error,
            )
        )
    return rows


def _problem() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    config = StudentConfig(hidden_size=HIDDEN_SIZE, num_layers=2, max_length=SEQUENCE_LENGTH)
    student = build_student(config, NUM_EVENTS)
    logits = 3.0 * torch.randn(NUM_SEQUENCES, SEQUENCE_LENGTH, NUM_EVENTS, generator=generator)
    real = torch.randint(NUM_EVENTS, (NUM_REAL, SEQUENCE_LENGTH), generator=generator)

    def inner_loss(params: dict[str, Tensor], synthetic: dict[str, Tensor], _step: int) -> Tensor:
        return soft_next_event_loss(student, params, synthetic["probabilities"])

    return {
        "inner_loss": inner_loss,
        "outer_loss": lambda params: next_event_loss(student, params, real),
        "start_params": student.init_params(generator),
        "synthetic": {"probabilities": logits.softmax(-1)},
        "adam": AdamConfig(lr=0.008, betas=(0.95, 0.975)),
    }


def _measure_all() -> Iterable[tuple[str, int, Measurement]]:
    plan = [(method, length) for _ in range(REPEATS) for length in LENGTHS for method in METHODS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for method, length in track(plan, description="Measuring meta-gradients"):
        command = [sys.executable, __file__, "--measure", method, "--length", str(length)]
        output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        yield method, length, json.loads(output)


def _medians(measurements: Iterable[tuple[str, int, Measurement]]) -> list[dict[str, Any]]:
    taken: dict[tuple[int, str], list[Measurement]] = {}
    for method, length, measurement in measurements:
        taken.setdefault((length, method), []).append(measurement)
    return [
        {"num_inner_steps": length, "method": method}
        | {name: statistics.median(item[name] for item in group) for name in group[0]}
        for (length, method), group in sorted(taken.items(), key=lambda item: (item[0][0], METHODS.index(item[0][1])))
    ]


def _check_agreement(medians: list[dict[str, Any]]) -> None:
    """Refuse to report the cost of something that is not the same gradient."""
    peers = {row["num_inner_steps"]: row for row in medians if row["method"] == PEER}
    for row in medians:
        error = _error(row, peers[row["num_inner_steps"]])
        if row["method"] in EXACT and error > AGREEMENT:
            sys.exit(f"{row['method']} at T={row['num_inner_steps']} differs from the unrolled loop: norm off by {error:.1e}")


def _error(row: dict[str, Any], peer: dict[str, Any]) -> float:
    return abs(float(row["norm"]) - float(peer["norm"])) / float(peer["norm"])


def _setting() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "threads": 1,
        "torch": version("torch"),
        "python": platform.python_version(),
        "dtype": "float32",
        "repeats": REPEATS,
        "window": WINDOW,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _reset_peak() -> int:
    """Let the kernel's record of this process's peak start again; return the bytes that are resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _memory("VmRSS")


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
