"""What students reach when they are trained on all of a data set: the figures that distilled data are measured against.

The rule is that of the product's own full-data baseline: fresh students, the best look at validation kept, patience. With the
first seed every candidate (learning rate, dropout) is tried and validation chooses one, which the other seeds use; the test is
looked at once per seed. Run as

    python -m bench.full_data --data-set ml-100k --data ml-100k/u.data --architecture gru4rec

A run adds a row to ``bench/results/full_data.json``, in the place of one with the same data and sizes of student, and prints
the rows as the table that ``docs/students.md`` has.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

import torch

from bench.data_sets import add_data_arguments, read_data_set
from farzi_core.config import Architecture, DistillationSpec
from farzi_core.data.sequences import SequenceDataset
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.teachers import real_data, real_plan
from farzi_core.errors import FarziError
from farzi_core.evaluation.metrics import LOWER_IS_BETTER, summarise
from farzi_core.evaluation.training import StudentTraining
from farzi_core.presets import resolve_spec

RESULTS = Path(__file__).parent / "results" / "full_data.json"
# Sizes that make a student another one; its dropout is tuned like the learning rate.
SIZES = ("architecture", "hidden_size", "num_layers", "num_heads", "max_length")


@dataclass(frozen=True)
class Trained:
    """One finished training."""

    lr: float
    dropout: float
    validation: float
    best_step: int
    cpu_s: float
    test: dict[str, float]


def main() -> None:
    """Train, and write the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--architecture", choices=get_args(Architecture), required=True)
    parser.add_argument("--lrs", type=float, nargs="+", default=[0.002, 0.005], help="learning rates to choose from")
    parser.add_argument("--dropouts", type=float, nargs="+", default=[0.0, 0.3], help="dropout rates to choose from")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-steps", type=int, default=600)
    parser.add_argument("--spec", type=json.loads, default={}, help="other fields of the spec, as JSON")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    candidates = list(itertools.product(arguments.lrs, arguments.dropouts))
    try:
        dataset = read_data_set(arguments.data_set, arguments.data)
        spec = make_spec(dataset, arguments.architecture, arguments.max_steps, arguments.spec)
        row = measure(dataset, spec, candidates, arguments.seeds)
    except (FarziError, OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    write_row(arguments.results, {"data_set": arguments.data_set, **row})
    print("\n".join(table(json.loads(arguments.results.read_text()))))


def make_spec(dataset: SequenceDataset, architecture: str, max_steps: int, overrides: dict[str, Any]) -> DistillationSpec:
    """Return the spec whose student and rule of training on real data are used; the rest of it plays no part."""
    sizes = {**overrides.get("student", {}), "architecture": architecture}
    teacher = {"num_steps": max_steps, **overrides.get("teacher", {})}
    return resolve_spec(dataset.task, {**overrides, "student": sizes, "teacher": teacher})


def measure(
    dataset: SequenceDataset, spec: DistillationSpec, candidates: list[tuple[float, float]], num_seeds: int
) -> dict[str, Any]:
    """Return the row of one student: candidates with the first seed, the chosen one with all seeds."""
    tried = [train(dataset, spec, lr, dropout, seed=0) for lr, dropout in candidates]
    better = min if _metric(dataset, spec) in LOWER_IS_BETTER else max
    chosen = better(tried, key=lambda trained: trained.validation)
    outcomes = [chosen, *(train(dataset, spec, chosen.lr, chosen.dropout, seed=seed) for seed in range(1, num_seeds))]
    return {
        "student": spec.student.model_dump(mode="json", include=set(SIZES)),
        "metrics": {name: _spread([outcome.test[name] for outcome in outcomes]) for name in chosen.test},
        "chosen": {"lr": chosen.lr, "dropout": chosen.dropout},
        "candidates": [[item.lr, item.dropout, item.validation, item.best_step] for item in tried],
        "steps": [outcome.best_step for outcome in outcomes],
        "cpu_s": {"training": _spread([outcome.cpu_s for outcome in outcomes]), "all": _total_s([*tried, *outcomes[1:]])},
        "teacher": spec.teacher.model_dump(mode="json", exclude={"lr", "num_trajectories"}),
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in ("farzi", "torch")}},
    }


def train(dataset: SequenceDataset, spec: DistillationSpec, lr: float, dropout: float, seed: int) -> Trained:
    """Train one fresh student and measure its best look on the test."""
    setting = _prepare(dataset, spec, dropout)
    started = time.process_time()
    training = StudentTraining(
        setting.student,
        real_data(setting),
        setting.validation,
        real_plan(setting, lr),
        seed=spec.seed,
        purpose=("full_data", spec.student.architecture, seed),
        dtype=setting.dtype,
        device=setting.device,
    )
    while not training.finished:
        training.advance()
    assert training.best_value is not None
    cpu_s = time.process_time() - started
    test = summarise(setting.test_cases().measure(training.student, training.best_params))
    trained = Trained(lr, dropout, training.best_value, training.best_step, cpu_s, test)
    print(f"{spec.student.architecture} seed {seed}: {trained}", flush=True)
    return trained


def write_row(path: Path, row: dict[str, Any]) -> None:
    """Put ``row`` into the list, in the place of one with the same data set and student."""
    rows = json.loads(path.read_text()) if path.exists() else []
    rows = [other for other in rows if _key(other) != _key(row)]
    path.write_text(json.dumps([*rows, row], indent=1) + "\n")


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a table of all rows."""
    lines = ["| data | student | layers, H | NDCG@10 | HR@10 | perplexity | lr, dropout | steps | CPU s |", "|" + "---|" * 9]
    for row in rows:
        student, chosen, metrics = row["student"], row["chosen"], row["metrics"]
        cells = [row["data_set"], student["architecture"], f"{student['num_layers']}, {student['hidden_size']}"]
        cells += [_figure(metrics.get(name), digits) for name, digits in (("ndcg@10", 4), ("hr@10", 3), ("perplexity", 1))]
        steps = f"{min(row['steps'])} to {max(row['steps'])}"
        cells += [f"{chosen['lr']:g}, {chosen['dropout']:g}", steps, f"{row['cpu_s']['training']['mean']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _figure(values: dict[str, float | None] | None, digits: int) -> str:
    if values is None:
        return ""
    spread = "" if values["std"] is None else f" ± {values['std']:.{digits}f}"
    return f"{values['mean']:.{digits}f}{spread}"


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["data_set"], *(row["student"][name] for name in SIZES))


def _prepare(dataset: SequenceDataset, spec: DistillationSpec, dropout: float) -> Setting:
    student = spec.student.model_copy(update={"dropout": dropout})
    return prepare_setting(dataset, spec.model_copy(update={"student": student}))


def _metric(dataset: SequenceDataset, spec: DistillationSpec) -> str:
    return prepare_setting(dataset, spec).metric


def _spread(values: list[float]) -> dict[str, float | None]:
    return {"mean": statistics.mean(values), "std": statistics.stdev(values) if len(values) > 1 else None}


def _total_s(trainings: list[Trained]) -> float:
    return sum(training.cpu_s for training in trainings)


if __name__ == "__main__":
    main()
