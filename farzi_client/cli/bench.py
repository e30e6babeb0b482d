"""``farzi bench``: how fast this machine trains students, next to the machine that estimates fall back to."""

from __future__ import annotations

import dataclasses
import importlib
import time
from typing import Any

from farzi_client.cli.listing import Listing
from farzi_client.cli.output import JsonOption, Output, QuietOption
from farzi_client.cli.progress import progress_bar
from farzi_client.cli.serving import load_worker_module, require_installed

# One training step of a small student: what the table tells is about this.
HIDDEN_SIZE, VOCAB_SIZE, BATCH_SIZE, LENGTH = 64, 2000, 64, 50


def bench(as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Measure how fast this machine trains students, in about 15 seconds.

    A running worker measures its machine by itself, and estimates follow it; this asks before there is one.
    """
    output = Output(as_json=as_json, quiet=quiet)
    require_installed("torch", "farzi bench", "worker")
    module = load_worker_module("farzi_core.calibration", "farzi bench")
    torch, machine = importlib.import_module("torch"), importlib.import_module("worker.machine")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    began_at = time.monotonic()
    with progress_bar(output, "measuring") as bar:
        bar.update(0, None)
        measured = module.measure_machine(device, startup_s=0.0, report_s=0.0)
    name = machine.name_machine(device, torch.get_num_threads())
    steps = _describe_steps(measured.speeds)
    seconds = time.monotonic() - began_at
    speeds = {architecture: dataclasses.asdict(speed) for architecture, speed in measured.speeds.items()}
    listing = Listing("student", "training step", "steps a second", "reference")
    for architecture, (step_s, reference_s) in steps.items():
        listing.add(architecture, f"{1000 * step_s:.2f} ms", f"{1 / step_s:,.3g}", f"{reference_s / step_s:.2f} times as fast")
    output.result(
        {
            "machine": name,
            "seconds": seconds,
            "training_step_s": {architecture: step_s for architecture, (step_s, _) in steps.items()},
            "times_reference": {architecture: reference_s / step_s for architecture, (step_s, reference_s) in steps.items()},
            "speeds": speeds,
        },
        listing.print,
    )
    output.remark(f"{name}; a step on {BATCH_SIZE} sequences of {LENGTH} events, vocabulary {VOCAB_SIZE}, width {HIDDEN_SIZE}")


def _describe_steps(speeds: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return the seconds of a training step by architecture, here and on the reference machine."""
    costs, config = importlib.import_module("farzi_core.costs"), importlib.import_module("farzi_core.config")
    steps = {}
    for architecture, speed in speeds.items():
        student = config.StudentConfig(architecture=architecture, hidden_size=HIDDEN_SIZE, max_length=LENGTH)
        work = costs.count_training_step(student, VOCAB_SIZE, BATCH_SIZE, LENGTH, soft=False)
        steps[architecture] = (speed.training_s(work), costs.REFERENCE.speeds[architecture].training_s(work))
    return steps
