"""What the published recursion costs in quality: the same distillation along it and along the exact meta-gradient.

Both sides start from the same teacher, data, seeds and inner loops, and differentiate the same last steps of these; after
every few outer steps a fresh student is trained on the synthetic data and measured on validation. Run as

    python -m bench.published_recursion --data ml-100k/u.data

with MovieLens-100K's ``u.data`` (tab-separated user, item, rating, time). Writes ``bench/results/published_recursion.json``.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from bench.data_sets import read_data_set
from farzi_core.config import DistillationSpec
from farzi_core.distillation.outer_loop import OuterLoop
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.teachers import TeacherTraining, TeacherTrajectory
from farzi_core.errors import NumericalError
from farzi_core.presets import resolve_spec

RESULTS = Path(__file__).parent / "results" / "published_recursion.json"
METHODS = ("truncated", "published")


def main() -> None:
    """Run both sides with every seed and write the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="u.data of MovieLens-100K")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--outer-steps", type=int, default=100)
    parser.add_argument("--window", type=int, default=12)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = read_data_set("ml-100k", arguments.data)
    rows = []
    for seed in range(arguments.seeds):
        specs = {method: make_spec(method, seed, arguments.window, arguments.outer_steps) for method in METHODS}
        teacher = run_teacher(prepare_setting(dataset, specs[METHODS[0]]))
        for method, spec in specs.items():
            rows.append({"method": method, "seed": seed, **run_side(prepare_setting(dataset, spec), teacher)})
            _write(rows, specs[METHODS[0]])


def make_spec(method: str, seed: int, window: int, outer_steps: int) -> DistillationSpec:
    """Return the spec of one side; only method and seed differ between sides."""
    return resolve_spec(
        "sequential_recommendation",
        {
            "seed": seed,
            "synthetic": {"num_sequences": 20},
            "inner": {"num_steps": 60, "min_steps": 15},
            "outer": {"num_steps": outer_steps, "batch_size": 128, "validate_every": max(1, outer_steps // 4)},
            "meta_gradient": {"method": method, "window": window},
        },
    )


def run_teacher(setting: Setting) -> TeacherTrajectory:
    """Train the teacher that both sides start from."""
    training = TeacherTraining(setting, 0)
    while not training.finished:
        training.advance()
    return training.trajectory()


def run_side(setting: Setting, teacher: TeacherTrajectory) -> dict[str, Any]:
    """Distil once; return outer losses, norms and validations, and where it broke down if it did."""
    loop = OuterLoop(setting, [teacher])
    losses, norms, validations = [], [], []
    started = time.process_time()
    failure = None
    while not loop.finished:
        try:
            step = loop.advance()
        except NumericalError as error:
            failure = str(error)
            break
        losses.append(step.outer_loss)
        norms.append(step.meta_gradient_norm)
        if step.validation is not None:
            validations.append({"step": step.step, setting.metric: step.validation})
    cpu_s = time.process_time() - started
    return {"cpu_s": cpu_s, "failure": failure, "validations": validations, "outer_losses": losses, "norms": norms}


def _write(rows: list[dict[str, Any]], spec: DistillationSpec) -> None:
    versions = {name: metadata.version(name) for name in ("farzi", "torch")}
    setting = spec.model_dump(mode="json", exclude={"meta_gradient", "seed", "evaluation"})
    result = {"python": platform.python_version(), "versions": versions, "setting": setting, "rows": rows}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
