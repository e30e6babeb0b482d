"""What the meta-gradient does on this machine's GPU: right, how fast, and in how much memory.

Two parts. The first computes one small meta-gradient by every method, in float64, on the GPU and on the CPU, and fails where
they differ by more than rounding. The second measures a SASRec of a size that a GPU is for: seconds and peak device memory of
every method over the number of inner steps T, with ``stored`` as the peer, then ``stored`` on the processors of the same
machine. Run as

    python -m bench.gpu

Writes ``bench/results/gpu.json`` after every measurement, and ``docs/benchmarks-gpu.md`` from it; ``--document`` writes the
page alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, StrictUndefined
from torch import Tensor

from bench.baselines import describe_run
from bench.metagrad.problem import BETAS, EPS, EPS_ROOT, LEARNING_RATE, SASREC, TINY, Problem, Setting, make_problem
from farzi_core.metagrad import AdamConfig, MetaGradient, Method, compute_meta_gradient
from farzi_core.students import Params, next_event_loss, soft_next_event_loss

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results" / "gpu.json"
DOCUMENT = ROOT / "docs" / "benchmarks-gpu.md"
TEMPLATE = Path(__file__).with_name("gpu.md.jinja")
LARGE = replace(SASREC, name="large_sasrec", vocab_size=3416, num_sequences=100, hidden_size=64, num_real=256)
METHODS: tuple[Method, ...] = ("stored", "offloaded", "checkpointed", "reversed")
# Of relative errors in float64 after 20 steps; sums are taken in another order.
TOLERANCE = 1e-8
COMPARED_STEPS = 20
CPU = torch.device("cpu")

Result = dict[str, Any]


def main() -> None:
    """Compare, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[20, 100, 400], help="numbers of inner steps T")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, after one that does not count")
    parser.add_argument("--document", action="store_true", help="write the page from the committed figures and measure nothing")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if not arguments.document:
        if not torch.cuda.is_available():
            raise SystemExit("torch sees no CUDA device on this machine; run this where there is a GPU")
        race(torch.device("cuda"), arguments.steps, arguments.rounds, arguments.results)
    DOCUMENT.write_text(render(json.loads(arguments.results.read_text(encoding="utf-8"))), encoding="utf-8")


def race(gpu: torch.device, steps: list[int], rounds: int, path: Path) -> None:
    """Compare, then measure everything; what is measured is in the file even if the run is cut off."""
    started, errors = time.process_time(), compare(gpu)
    print("largest relative errors, GPU against CPU:", errors, flush=True)
    wrong = {method: error for method, error in errors.items() if not error < TOLERANCE}
    if wrong:
        raise SystemExit(f"on the GPU these differ from the CPU by more than {TOLERANCE:g}: {wrong}")
    planned = [(gpu, method, num_steps) for num_steps in steps for method in METHODS] + [(CPU, METHODS[0], steps[0])]
    rows: list[dict[str, Any]] = []
    for device, method, num_steps in planned:
        rows.append(measure(LARGE, device, method, num_steps, rounds))
        print(rows[-1], flush=True)
        result = {**describe_run(time.process_time() - started), "errors": errors, "rows": rows}
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def compare(device: torch.device) -> dict[str, float]:
    """Return each method's largest relative error on ``device`` against ``stored`` on the CPU, over all gradients."""
    problem = make_problem(TINY, COMPARED_STEPS, precision="float64")
    expected = _gradients(run(problem, CPU, "stored"))
    errors: dict[str, float] = {}
    for method in METHODS:
        found = _gradients(run(problem, device, method))
        errors[method] = max(
            float((found[name].cpu() - value).abs().max() / value.abs().max()) for name, value in expected.items()
        )
    return errors


def run(problem: Problem, device: torch.device, method: Method) -> MetaGradient:
    """Return the meta-gradient of a problem, computed on a device."""
    student = problem.setting.student
    real = torch.from_numpy(problem.real).to(device)

    def inner_loss(params: Params, synthetic: dict[str, Tensor], _step: int) -> Tensor:
        return soft_next_event_loss(student, params, synthetic["probabilities"])

    return compute_meta_gradient(
        inner_loss,
        lambda params: next_event_loss(student, params, real),
        {name: torch.from_numpy(value).to(device) for name, value in problem.start_params.items()},
        {"probabilities": torch.from_numpy(problem.probabilities).to(device)},
        AdamConfig(LEARNING_RATE, BETAS, EPS, EPS_ROOT),
        num_inner_steps=problem.num_inner_steps,
        method=method,
    )


def _gradients(result: MetaGradient) -> dict[str, Tensor]:
    return {**result.synthetic, **{f"start {name}": value for name, value in result.start_params.items()}, "lr": result.lr}


def measure(setting: Setting, device: torch.device, method: Method, num_steps: int, rounds: int) -> dict[str, Any]:
    """Return seconds of every round and, on a GPU, the peak of allocated memory of the last."""
    problem = make_problem(setting, num_steps)
    run(problem, device, method)
    seconds, peak_bytes = [], None
    for _ in range(rounds):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        before = time.perf_counter()
        # Reading a number waits for everything that was asked of the device before.
        float(run(problem, device, method).lr.sum())
        seconds.append(time.perf_counter() - before)
        if device.type == "cuda":
            peak_bytes = torch.cuda.max_memory_allocated()
    return {"device": device.type, "method": method, "num_steps": num_steps, "seconds": seconds, "peak_bytes": peak_bytes}


def render(result: Result) -> str:
    """Return the page as Markdown."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        result=result, setting=LARGE, compared_steps=COMPARED_STEPS, tolerance=TOLERANCE, rows="\n".join(table(result["rows"]))
    )


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a table, with ratios to ``stored`` on the GPU at the same T."""
    lines = ["| device | method | T | seconds | of `stored` | peak MiB | of `stored` |", "|" + " --- |" * 7]
    peers = {row["num_steps"]: row for row in rows if row["device"] != "cpu" and row["method"] == "stored"}
    for row in rows:
        peer, seconds = peers[row["num_steps"]], statistics.median(row["seconds"])
        ratio = seconds / statistics.median(peer["seconds"])
        cells = [row["device"], f"`{row['method']}`", str(row["num_steps"]), f"{seconds:.2f}", f"{ratio:.2f}"]
        if row["peak_bytes"] is None:
            cells += ["-", "-"]
        else:
            cells += [f"{row['peak_bytes'] / 2**20:.0f}", f"{row['peak_bytes'] / peer['peak_bytes']:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
