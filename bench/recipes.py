"""The search for presets: one distillation with some fields of a spec changed, judged on validation alone.

Trains the teacher, runs the outer loop, and at its end trains several fresh students on the result. The test is never looked
at. Run as

    python -m bench.recipes --data-set ml-100k --data ml-100k/u.data --preset standard --set inner.batch_size=16

Each run adds a row to ``bench/results/recipes.json`` with what was changed, the validations on the way, the students at the
end, and CPU seconds. ``docs/log.md`` has the verdicts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from bench.data_sets import add_data_arguments
from bench.spec_arguments import add_row, add_spec_arguments, read_setting
from farzi_core.batch_sizes import synthetic_batch_size
from farzi_core.comparison_plan import DISTILLED, HARD, hard_batch_size, max_training_steps
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.outer_loop import OuterLoop
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import TeacherTraining
from farzi_core.errors import FarziError
from farzi_core.evaluation.training import HardData, SoftData, StudentTraining, TrainingData, TrainingPlan
from farzi_core.synthetic.hard import draw_hard_sequences

RESULTS = Path(__file__).parent / "results" / "recipes.json"


def main() -> None:
    """Run one distillation and write its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    add_spec_arguments(parser)
    parser.add_argument("--students", type=int, default=3, help="fresh students at the end, soft and hard")
    parser.add_argument("--draws", type=int, nargs="*", default=[4], help="hard sequences of each synthetic one, at the end")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        row = run(read_setting(arguments), arguments.students, arguments.draws)
    except (FarziError, OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    head = {"data_set": arguments.data_set, "preset": arguments.preset, "set": arguments.set}
    add_row(RESULTS, head | row)


def run(setting: Setting, num_students: int, draws: list[int]) -> dict[str, Any]:
    """Distil once; return validations on the way and at the end."""
    started = time.process_time()
    num_teachers = setting.spec.teacher.num_trajectories
    assert num_teachers is not None, "a setting has no choices left"
    teachers = [train_to_end(setting, i) for i in range(num_teachers)]
    teacher_s = time.process_time() - started
    loop = OuterLoop(setting, [teacher.trajectory() for teacher in teachers])
    curve = []
    while not loop.finished:
        step = loop.advance()
        if step.validation is not None:
            cpu_s = time.process_time() - started - teacher_s
            curve.append([step.step, round(step.validation, 4), round(step.entropy, 2), round(cpu_s)])
            print(*curve[-1], f"outer loss {step.outer_loss:.3f}", flush=True)
    distil_s = time.process_time() - started - teacher_s
    return {
        "teacher": {"validation": [teacher.training.best_value for teacher in teachers], "cpu_s": teacher_s},
        "curve": curve,
        "distil_cpu_s": distil_s,
        "students": judge(setting, loop.best, num_students, draws),
    }


def train_to_end(setting: Setting, index: int) -> TeacherTraining:
    """Return one of the teachers, trained."""
    teacher = TeacherTraining(setting, index)
    while not teacher.finished:
        teacher.advance()
    print(f"teacher {teacher.training.best_value:.4f} at step {teacher.training.best_step}", flush=True)
    return teacher


def judge(setting: Setting, distilled: Distilled, num_students: int, draws: list[int]) -> dict[str, dict[str, Any]]:
    """Return validation of fresh students of the soft tokens and of hard sequences drawn from them."""
    spec = setting.spec
    sides: dict[str, TrainingData] = {"soft": SoftData.of(distilled.synthetic, synthetic_batch_size(spec))}
    for count in draws:
        events = draw_hard_sequences(distilled.synthetic, count, spec.seed)
        sides[f"hard_{count}"] = HardData(events, hard_batch_size(len(events), spec))
    judged = {}
    for name, data in sides.items():
        trained = [train(setting, distilled, data, seed) for seed in range(num_students)]
        values = [training.best_value for training in trained if training.best_value is not None]
        judged[name] = {"mean": statistics.mean(values), "each": values, "steps": [t.best_step for t in trained]}
        print(name, judged[name], flush=True)
    return judged


def train(setting: Setting, distilled: Distilled, data: TrainingData, seed: int) -> StudentTraining:
    """Train one fresh student as the comparison does."""
    evaluation = setting.spec.evaluation
    adam = setting.inner_adam(distilled.inner_lr)
    side = DISTILLED if isinstance(data, SoftData) else HARD
    plan = TrainingPlan(
        adam, max_training_steps(side, setting.spec), evaluation.num_validations, evaluation.patience, setting.metric
    )
    training = StudentTraining(
        setting.student,
        data,
        setting.validation,
        plan,
        seed=setting.spec.seed,
        purpose=("recipe", seed),
        dtype=setting.dtype,
        device=setting.device,
    )
    while not training.finished:
        training.advance()
    return training


if __name__ == "__main__":
    main()
