"""What hard sequences are worth by each rule they can be drawn by: exponents of soft token, prediction and coverage.

Distils as the spec says, or takes the start with ``--start``, draws by every rule, and trains fresh students on the draws:
validation and test of each. The product tries the rules of ``farzi_core.hard_rules`` on one student each. Run as

    python -m bench.hard_rules --data-set ml-100k --data ml-100k/u.data --start --rule 1,0 --rule 0,1 --rule 0,2,1

A run adds a row to ``bench/results/hard_rules.json``. Verdicts: ``docs/log.md``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.baselines import describe_run
from bench.data_sets import add_data_arguments
from bench.recipes import train, train_to_end
from bench.spec_arguments import add_row, add_spec_arguments, read_setting
from farzi_core.comparison_plan import hard_batch_size
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.hard_sequences import HardSequences
from farzi_core.distillation.outer_loop import OuterLoop
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.errors import FarziError
from farzi_core.evaluation.metrics import summarise
from farzi_core.evaluation.training import HardData, StudentTraining
from farzi_core.hard_rules import RULES, Rule
from farzi_core.synthetic.hard import draw_hard_sequences
from farzi_core.synthetic_config import HardSequencesConfig

RESULTS = Path(__file__).parent / "results" / "hard_rules.json"


def main() -> None:
    """Distil, draw, train, and write the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    add_spec_arguments(parser)
    parser.add_argument("--start", action="store_true", help="draw from the start, nothing distilled")
    parser.add_argument(
        "--rule", action="append", type=parse_rule, metavar="A,B,C", help="one each time; left out: the product's"
    )
    parser.add_argument("--draws", type=int, default=4, help="hard sequences of each synthetic one")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        rules = arguments.rule or list(RULES)
        measured = measure(read_setting(arguments), rules, arguments.draws, arguments.seeds, from_start=arguments.start)
    except (FarziError, OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    named = ("data_set", "preset", "set", "start", "draws")
    row = {name: getattr(arguments, name) for name in named} | describe_run(time.process_time()) | measured
    add_row(arguments.results, row)


def parse_rule(text: str) -> Rule:
    """Return ``"0.5,1.5,1"`` as a rule.

    Raises:
        TypeError: it is not two or three numbers.
        ValueError: a part is no number.
    """
    return Rule.of([float(part) for part in text.split(",")])


def measure(setting: Setting, rules: list[Rule], draws: int, num_seeds: int, *, from_start: bool) -> dict[str, Any]:
    """Return what teachers reach, and students of every rule's draws."""
    assert setting.spec.teacher.num_trajectories is not None, "a setting has no choices left"
    trained = [train_to_end(setting, index) for index in range(setting.spec.teacher.num_trajectories)]
    teachers = [teacher.trajectory() for teacher in trained]
    distilled = Distilled(make_start(setting, teachers), setting.spec.inner.lr) if from_start else distil(setting, teachers)
    return {
        "metric": setting.metric,
        "teachers": [look(setting, teacher.training) for teacher in trained],
        "rules": [judge(setting, teachers, distilled, rule, draws=draws, num_seeds=num_seeds) for rule in rules],
    }


def distil(setting: Setting, teachers: list[TeacherTrajectory]) -> Distilled:
    """Run the outer loop to its end."""
    loop = OuterLoop(setting, teachers)
    print(f"start {loop.validate_start():.4f}", flush=True)
    while not loop.finished:
        step = loop.advance()
        if step.validation is not None:
            print(step.step, f"{step.validation:.4f}", flush=True)
    return loop.best


def judge(
    setting: Setting, teachers: list[TeacherTrajectory], distilled: Distilled, rule: Rule, *, draws: int, num_seeds: int
) -> dict[str, Any]:
    """Return what students of draws by one rule reach."""
    asked = HardSequencesConfig(rule=rule, prepared_draws=draws)
    ruled = replace(setting, spec=setting.spec.model_copy(update={"hard_sequences": asked}))
    work = HardSequences(ruled, teachers, distilled)
    while not work.finished:
        work.advance()
    events = draw_hard_sequences(work.result.synthetic, draws, setting.spec.seed)
    data = HardData(events.to(setting.device), hard_batch_size(len(events), setting.spec))
    students = [look(setting, train(setting, distilled, data, seed)) for seed in range(num_seeds)]
    row = {
        "rule": list(rule),
        "different_events": len(set(events.flatten().tolist())),
        **{part: statistics.mean(student[part] for student in students) for part in ("validation", "test")},
        "students": students,
    }
    print(row, flush=True)
    return row


def look(setting: Setting, training: StudentTraining) -> dict[str, float]:
    """Return validation and test of a training's best step."""
    assert training.best_value is not None
    scores = summarise(setting.test_cases().measure(training.student, training.best_params))
    return {"validation": training.best_value, "step": training.best_step, "test": scores[setting.metric]}


if __name__ == "__main__":
    main()
