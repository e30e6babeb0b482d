"""Every baseline next to the distillation, on one of the public data sets: the whole comparison as one command.

Runs the product's own pipeline, from teachers to the comparison on the test, with every baseline of the task. Run as

    python -m bench.baselines --data-set ml-100k --data ml-100k/u.data --preset quick --set baseline.num_steps=100

What one baseline does, and what it shares with the distillation: ``docs/baselines.md``. Writes the figures to
``bench/results/baselines_<data set>.json`` and prints them as a table. A fair run leaves ``baseline.num_steps`` alone: each
learned baseline then has as many outer steps as the distillation.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

import torch
from pydantic import ValidationError

from bench.data_sets import add_data_arguments, read_data_set
from bench.spec_arguments import add_spec_arguments, parse_fields
from farzi_core.config import OF_LONGEST, Baseline, DistillationSpec, Task
from farzi_core.data.sequences import SequenceDataset
from farzi_core.data_choices import fill_in
from farzi_core.errors import FarziError
from farzi_core.pipeline import DistillationPipeline
from farzi_core.presets import resolve_spec
from farzi_core.progress import OuterLoopEnded, PhaseStarted, Progress, ResultReady, StepFinished, ValidationMeasured

RESULTS = Path(__file__).parent / "results"
# Of a student, what is too long for a table of results.
LEFT_OUT = {"curves", "noise"}


def main() -> None:
    """Run the comparison and write its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    add_spec_arguments(parser)
    parser.add_argument("--results", type=Path, help="file to write; by default bench/results/baselines_<data set>.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = time.process_time()
    read_commit()  # before anybody changes it
    try:
        dataset = read_data_set(arguments.data_set, arguments.data)
        spec = make_spec(dataset.task, arguments.preset, arguments.set)
        filled = fill_in(spec, dataset.summary())
        report = run(dataset, filled)
    except (FarziError, OSError, ValidationError, ValueError) as error:
        raise SystemExit(str(error)) from error
    head = {"data_set": arguments.data_set, "preset": arguments.preset, "set": arguments.set}
    specs = {"spec": spec.model_dump(mode="json"), "filled_spec": filled.model_dump(mode="json")}
    result = {**head, **describe_run(time.process_time() - started), **shorten(report), **specs}
    path = arguments.results or RESULTS / f"baselines_{arguments.data_set}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print("\n".join(table(result)))


def make_spec(task: Task, preset: str, fields: list[str]) -> DistillationSpec:
    """Return the preset with every baseline that the task has, and ``fields`` laid over it."""
    overrides = parse_fields(fields)
    everything = [name for name in get_args(Baseline) if not (task == "language_modeling" and name in OF_LONGEST)]
    evaluation = {"baselines": everything, **overrides.pop("evaluation", {})}
    return resolve_spec(task, {"preset": preset, **overrides, "evaluation": evaluation})


def run(dataset: SequenceDataset, spec: DistillationSpec) -> dict[str, Any]:
    """Run the pipeline, tell of its validations, and return its report."""
    with tempfile.TemporaryDirectory() as folder:
        for progress in DistillationPipeline(dataset, spec, Path(folder), data_sha256="").run():
            line = tell(progress)
            if line is not None:
                print(line, flush=True)
        report: dict[str, Any] = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8"))
    return report


def tell(progress: Progress) -> str | None:
    """Return what is worth a line."""
    if isinstance(progress, PhaseStarted):
        return progress.phase
    if isinstance(progress, OuterLoopEnded):
        return progress.message
    if isinstance(progress, ValidationMeasured):
        return f"step {progress.step}: {progress.metrics}"
    if isinstance(progress, StepFinished):
        validations = {name: value for name, value in progress.metrics.items() if name.endswith("_validation")}
        return f"step {progress.step} ({progress.done} of {progress.total}): {validations}" if validations else None
    assert isinstance(progress, ResultReady)
    return None


def describe_run(cpu_s: float) -> dict[str, Any]:
    """Return what the figures were computed with; the commit is None outside of a checkout, or with changes on top of it."""
    versions = {"python": platform.python_version(), **{name: metadata.version(name) for name in ("farzi", "torch")}}
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"commit": read_commit(), "versions": versions, "cpus": os.cpu_count(), "gpu": gpu, "cpu_s": cpu_s}


@cache
def read_commit() -> str | None:
    """Return the commit that is checked out when this is first asked."""

    def ask_git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=RESULTS, check=True, capture_output=True, text=True).stdout.strip()

    try:
        return None if ask_git("status", "--porcelain", "--untracked-files=no") else ask_git("rev-parse", "--short", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None


def shorten(report: dict[str, Any]) -> dict[str, Any]:
    """Return the report without curves and pictures of sequences."""
    students = {
        name: {key: value for key, value in student.items() if key not in LEFT_OUT}
        for name, student in report["students"].items()
    }
    kept = (
        "task",
        "protocol",
        "headline_student",
        "cautions",
        "size",
        "sides",
        "seconds",
        "break_even_trainings",
        "hard_sequences",
    )
    return {**{name: report[name] for name in kept}, "students": students}


def table(result: dict[str, Any]) -> list[str]:
    """Return the lines of a table: every side of every student, with its size, its figure and its ratio to full data."""
    metric = "perplexity" if result["task"] == "language_modeling" else "ndcg@10"
    lines = [f"| student | trained on | sequences | events | bytes | {metric} | / full data | distil s |", "|" + "---|" * 8]
    for name, student in result["students"].items():
        for side, size in result["sides"].items():
            distil_s = result["seconds"].get("distil" if side == "distilled" else f"distil_{side}")
            cells = [name, side, *(f"{size[unit]:,}" for unit in ("sequences", "events", "bytes"))]
            figure = student[side][metric]
            spread = "" if figure["std"] is None else f" ± {figure['std']:.4f}"
            cells += [f"{figure['mean']:.4f}{spread}", _ratio(student, side, metric)]
            lines.append("| " + " | ".join([*cells, "" if distil_s is None else f"{distil_s:.0f}"]) + " |")
    return lines


def _ratio(student: dict[str, Any], side: str, metric: str) -> str:
    if side == "full_data":
        return "1"
    ratio = student["ratio" if side == "distilled" else f"ratio_{side}"].get(metric)
    return "" if ratio is None else f"{ratio['mean']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})"


if __name__ == "__main__":
    main()
