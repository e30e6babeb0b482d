"""What it costs that a soft token is input and target at once: students of the same sequences with targets of their own.

S sequences of events are the inputs, real ones or such as a teacher samples; the target at each position is the teacher's own
prediction there, ``softmax(hidden @ event_table.T)``, which is of the form of factorised synthetic data with D = H. Nothing is
distilled. Fresh students train on these pairs with the inner optimiser, the best look at validation is kept, and the test is
looked at once per student. Run as

    python -m bench.separate_targets --data-set ml-100k --data ml-100k/u.data --inputs sampled --set student.dropout=0.3

A run adds a row to ``bench/results/separate_targets.json``. Dropout is the teacher's alone. Verdicts: ``docs/log.md``.

Shape letters: S sequences, L length, V vocabulary, H hidden.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.data_sets import add_data_arguments
from bench.spec_arguments import add_row, add_spec_arguments, read_setting
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import TeacherTraining
from farzi_core.errors import FarziError
from farzi_core.evaluation.metrics import summarise
from farzi_core.evaluation.training import StudentTraining, TrainingPlan
from farzi_core.seeding import derive_generator
from farzi_core.students import Params, Student
from farzi_core.students.log_normalizer import log_normalizer

RESULTS = Path(__file__).parent / "results" / "separate_targets.json"
NUM_LOOKS = 24


@dataclass(frozen=True)
class Pairs:
    """Inputs int64 (S, L - 1) and targets (S (L - 1), V), each a distribution."""

    inputs: Tensor
    targets: Tensor

    def loss(self, student: Student, params: Params, generator: torch.Generator) -> Tensor:
        del generator
        table = student.event_table(params)
        hidden = student.encode(params, student.embed_events(params, self.inputs)).flatten(0, 1)
        return (log_normalizer(hidden, table).sum() - (hidden * (self.targets @ table)).sum()) / len(hidden)


def main() -> None:
    """Train, and write the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    add_spec_arguments(parser)
    parser.add_argument("--inputs", choices=["real", "sampled"], default="sampled")
    parser.add_argument("--max-steps", type=int, default=480)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        row = measure(read_setting(arguments), arguments.inputs, arguments.max_steps, arguments.seeds)
    except (FarziError, OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    head = {"data_set": arguments.data_set, "preset": arguments.preset, "set": arguments.set, "inputs": arguments.inputs}
    add_row(RESULTS, head | row)


def measure(setting: Setting, inputs: str, max_steps: int, num_seeds: int) -> dict[str, Any]:
    """Return the row of one kind of inputs."""
    started = time.process_time()
    teacher = TeacherTraining(setting, 0)
    while not teacher.finished:
        teacher.advance()
    teacher_s = time.process_time() - started
    print(f"teacher {teacher.training.best_value:.4f} at step {teacher.training.best_step}, {teacher_s:.0f} CPU s", flush=True)
    pairs = make_pairs(setting, teacher.trajectory().best_params, inputs)
    students = [train(setting, pairs, max_steps, seed) for seed in range(num_seeds)]
    test = [student["test"][setting.metric] for student in students]
    spread = statistics.stdev(test) if num_seeds > 1 else 0.0
    return {
        "teacher": {"validation": teacher.training.best_value, "cpu_s": teacher_s},
        "test": {"mean": statistics.mean(test), "std": spread},
        "students": students,
    }


def make_pairs(setting: Setting, teacher: Params, inputs: str) -> Pairs:
    """Return as many sequences, as long, as the spec's synthetic data has, with the teacher's predictions as targets."""
    synthetic, student = setting.spec.synthetic, setting.student
    generator = derive_generator(setting.spec.seed, "start")
    events = setting.real.pick_whole(synthetic.num_sequences, synthetic.length, generator)
    if inputs == "sampled":
        events = sample_sequences(setting, teacher, events[:, :1], generator)
    with torch.no_grad():
        hidden = student.encode(teacher, student.embed_events(teacher, events[:, :-1]))
        targets = student.event_logits(teacher, hidden.flatten(0, 1)).softmax(-1)
    return Pairs(events[:, :-1], targets)


@torch.no_grad()
def sample_sequences(setting: Setting, teacher: Params, first: Tensor, generator: torch.Generator) -> Tensor:
    """Return sequences int64 (S, L) that begin with ``first`` (S, 1); the teacher's predictions say how each one goes on."""
    student, events = setting.student, first
    while events.shape[1] < setting.spec.synthetic.length:
        scores = student.event_logits(teacher, student.encode(teacher, student.embed_events(teacher, events))[:, -1])
        if not setting.repeats_allowed:
            scores = scores.scatter(1, events, float("-inf"))
        events = torch.cat([events, torch.multinomial(scores.softmax(-1), 1, generator=generator)], 1)
    return events


def train(setting: Setting, pairs: Pairs, max_steps: int, seed: int) -> dict[str, Any]:
    """Train one fresh student, and look at the test with the parameters of its best look."""
    started = time.process_time()
    plan = TrainingPlan(setting.inner_adam(), max_steps, NUM_LOOKS, setting.spec.evaluation.patience, setting.metric)
    training = StudentTraining(
        setting.student, pairs, setting.validation, plan, seed=setting.spec.seed, purpose=("separate_targets", seed)
    )
    while not training.finished:
        training.advance()
    cpu_s = time.process_time() - started
    test = summarise(setting.test_cases().measure(training.student, training.best_params))
    result = {"validation": training.best_value, "step": training.best_step, "cpu_s": cpu_s, "test": test}
    print(seed, result, flush=True)
    return result


if __name__ == "__main__":
    main()
