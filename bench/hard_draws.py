"""Synthetic data that are trained as they will be used: inner loops see hard draws, and the gradient goes straight through.

At every outer step each synthetic sequence is drawn ``--draws`` times, event by event. The inner loop trains on these one-hot
tokens; the meta-gradient with respect to them is taken for that with respect to the soft tokens they were drawn from (the
straight-through estimator of Bengio et al. 2013, arXiv 1308.3432), summed over the draws. Validation and test train fresh
students on hard draws alone. Run as

    python -m bench.hard_draws --data-set ml-100k --data ml-100k/u.data --draws 1 --set synthetic.num_sequences=200

A run adds a row to ``bench/results/hard_draws.json``. Verdicts: ``docs/log.md``.

Shape letters: S synthetic sequences, L length, V vocabulary, K draws.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bench.baselines import describe_run
from bench.data_sets import add_data_arguments
from bench.spec_arguments import add_row, add_spec_arguments, read_setting
from farzi_core.comparison_plan import hard_batch_size
from farzi_core.distillation.descent import SyntheticDescent
from farzi_core.distillation.draws import PROBABILITIES, draw_num_inner_steps, draw_real_batch, draw_start_params
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.teachers import TeacherTraining, TeacherTrajectory
from farzi_core.errors import FarziError
from farzi_core.evaluation.metrics import summarise
from farzi_core.evaluation.training import HardData, StudentTraining, TrainingPlan, draw_row_numbers, take_rows
from farzi_core.metagrad import compute_meta_gradient
from farzi_core.seeding import derive_generator, derive_seed
from farzi_core.students import Params, next_event_loss, soft_next_event_loss
from farzi_core.synthetic.base import Synthetic
from farzi_core.synthetic.hard import draw_hard_sequences

RESULTS = Path(__file__).parent / "results" / "hard_draws.json"
NUM_LOOKS = 24


def main() -> None:
    """Distil, judge, and write the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    add_spec_arguments(parser)
    parser.add_argument("--draws", type=int, default=1, help="hard sequences of each synthetic one")
    parser.add_argument("--sharpness", type=float, default=1.0, help="what the scores of the start are multiplied by")
    parser.add_argument("--max-steps", type=int, default=240, help="of a student of hard draws")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        setting = read_setting(arguments, {"synthetic": {"inputs": "soft_tokens"}})
        run = Run(setting, arguments.draws, arguments.max_steps)
        row = run.measure(arguments.sharpness, arguments.seeds)
    except (FarziError, OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    named = ("data_set", "preset", "set", "draws", "sharpness", "max_steps")
    add_row(arguments.results, {name: getattr(arguments, name) for name in named} | describe_run(time.process_time()) | row)


class Run:
    """One distillation of what is drawn, and students of its draws."""

    def __init__(self, setting: Setting, draws: int, max_steps: int) -> None:
        self._setting, self._draws, self._max_steps = setting, draws, max_steps

    def measure(self, sharpness: float, num_seeds: int) -> dict[str, Any]:
        """Return the row."""
        setting, outer = self._setting, self._setting.spec.outer
        assert outer.num_steps is not None, "a setting has no choices left"
        teacher = TeacherTraining(setting, 0)
        while not teacher.finished:
            teacher.advance()
        print(f"teacher {teacher.training.best_value:.4f}", flush=True)
        trajectory = teacher.trajectory()
        start = make_start(setting, [trajectory])
        start = replace(start, temperature=start.temperature / sharpness)
        descent = SyntheticDescent(setting, start, learn_lr=False)
        looks = [self._look(start, 0)]
        best = (looks[0]["validation"], start)
        while descent.step < outer.num_steps:
            loss = self._step(descent, [trajectory])
            if descent.step % outer.validate_every == 0:
                # Not the average: hard draws of an average are none of the draws that were trained.
                current = descent.current.synthetic
                looks.append({**self._look(current, descent.step), "outer_loss": loss})
                best = max(best, (looks[-1]["validation"], current), key=lambda pair: pair[0])
        students = [self._train(best[1], seed, "test") for seed in range(num_seeds)]
        before = [self._train(start, seed, "test") for seed in range(num_seeds)]
        return {"looks": looks, "students": students, "start": before} | {
            name: {"mean": statistics.mean(values), "std": statistics.stdev(values) if len(values) > 1 else None}
            for name, values in (("test", [s["test"] for s in students]), ("start_test", [s["test"] for s in before]))
        }

    def _step(self, descent: SyntheticDescent, teachers: list[TeacherTrajectory]) -> float:
        setting, step = self._setting, descent.step
        spec, student = setting.spec, setting.student
        soft_tokens = descent.soften()
        events = self._draw(descent.current.synthetic, derive_seed(spec.seed, "draws", step))
        one_hot = functional.one_hot(events, setting.vocab_size).to(setting.dtype)
        batch_size = hard_batch_size(len(events), spec)
        real = draw_real_batch(setting, step)

        def inner_loss(params: Params, synthetic: dict[str, Tensor], inner_step: int) -> Tensor:
            rows = draw_row_numbers(len(events), batch_size, derive_generator(spec.seed, "inner_batch", step, inner_step))
            return soft_next_event_loss(student, params, take_rows(synthetic[PROBABILITIES], rows), None)

        meta = compute_meta_gradient(
            inner_loss,
            lambda params: next_event_loss(student, params, real),
            draw_start_params(setting, teachers, step),
            {PROBABILITIES: one_hot},
            setting.inner_adam(),
            num_inner_steps=draw_num_inner_steps(setting, step),
            method=spec.meta_gradient.method,
            window=spec.meta_gradient.window,
        )
        # Draw d of sequence s is row d S + s.
        of_draws = meta.synthetic[PROBABILITIES]
        owed = of_draws.reshape(self._draws, spec.synthetic.num_sequences, *of_draws.shape[1:]).sum(0)
        descent.move(soft_tokens, owed)
        return float(meta.outer_loss)

    def _draw(self, synthetic: Synthetic, seed: int) -> Tensor:
        return draw_hard_sequences(synthetic, self._draws, seed).to(self._setting.device)

    def _look(self, synthetic: Synthetic, step: int) -> dict[str, Any]:
        value = self._train(synthetic, 0, "validation")["validation"]
        look = {"step": step, "validation": value, "entropy": float(synthetic.entropy().mean())}
        print(look, flush=True)
        return look

    def _train(self, synthetic: Synthetic, seed: int, purpose: str) -> dict[str, Any]:
        """Train a fresh student on draws of its own, and look at the test where that is the purpose."""
        setting = self._setting
        events = self._draw(synthetic, derive_seed(setting.spec.seed, purpose, seed))
        patience = setting.spec.evaluation.patience
        training = StudentTraining(
            setting.student,
            HardData(events, hard_batch_size(len(events), setting.spec)),
            setting.validation,
            TrainingPlan(setting.inner_adam(), self._max_steps, NUM_LOOKS, patience, setting.metric),
            seed=setting.spec.seed,
            purpose=("hard_draws", purpose, seed),
            dtype=setting.dtype,
            device=setting.device,
        )
        while not training.finished:
            training.advance()
        result: dict[str, Any] = {"validation": training.best_value, "step": training.best_step}
        if purpose == "test":
            scores = summarise(setting.test_cases().measure(training.student, training.best_params))
            result["test"] = scores[setting.metric]
            print(seed, result, flush=True)
        return result


if __name__ == "__main__":
    main()
