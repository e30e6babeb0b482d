"""``report.json``: the figures of a comparison, with the protocol they were taken under.

Knows nothing of pages or plots; see ``page.py`` and ``figures.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from farzi_core.comparison_plan import (
    DISTILLED,
    FULL_DATA,
    HARD,
    choose_headline,
    list_learned_baselines,
    list_sides,
    max_training_steps,
    noisy,
    trains_as_teacher,
)
from farzi_core.config import Architecture, Baseline
from farzi_core.data.splits import HeldOutStream
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import real_plan
from farzi_core.evaluation.advice import advise
from farzi_core.evaluation.appearance import describe_appearance
from farzi_core.evaluation.cautions import find_cautions
from farzi_core.evaluation.comparison import Cell, Comparison
from farzi_core.evaluation.held_out import REPEAT_SHARE
from farzi_core.evaluation.learning_curves import describe_curves, measure_speed_up
from farzi_core.evaluation.metrics import bootstrap_ratio, summarise
from farzi_core.evaluation.sides import SideSize
from farzi_core.footprint import BYTES_PER_EVENT
from farzi_core.hard_rules import CLEARLY_BETTER, Rule
from farzi_core.progress import ArtifactFile
from farzi_core.seeding import derive_seed
from farzi_core.synthetic.base import Synthetic

REPORT_NAME = "report.json"
NUM_RESAMPLES = 1000
_INPUTS = {
    "soft_tokens": "students of the summary are shown the soft tokens that they are asked for",
    "sampled_events": (
        "students of the summary are shown the events of `input_events`, which teachers made up, and asked for the soft tokens"
    ),
}
LEVEL = 0.95

Report = dict[str, Any]


def build_report(
    setting: Setting,
    comparison: Comparison,
    distilled: Distilled,
    *,
    distil_s: float,
    hard_sequences: Mapping[str, Any],
    hard_s: float | None = None,
    learned_s: Mapping[Baseline, float] | None = None,
    outer_loop: Mapping[str, Any] | None = None,
) -> Report:
    """Return the content of ``report.json``.

    Args:
        setting: data and student.
        comparison: finished.
        distilled: what was judged.
        distil_s: seconds that teachers, the start and the outer loop took.
        hard_sequences: how they are drawn, as :func:`describe_hard_sequences` says.
        hard_s: seconds of choosing a rule for them and of drawing with teachers; None where neither was done.
        learned_s: seconds that each learned baseline took, teachers not counted.
        outer_loop: how it went, as ``history.describe_outer_loop`` says; None where nothing was distilled.
    """
    students: dict[str, Any] = {name: _judge(setting, comparison, name) for name in comparison.architectures}
    headline = choose_headline(setting.spec)
    cells = comparison.cells(headline)
    seconds = {
        "distil": distil_s,
        "train_distilled": _mean_train_s(cells[DISTILLED]),
        "train_full_data": _mean_train_s(cells[FULL_DATA]),
        **({} if hard_s is None else {"hard_sequences": hard_s}),
        **{f"distil_{name}": seconds for name, seconds in (learned_s or {}).items()},
    }
    sizes = {side: _describe_size(setting, size) for side, size in comparison.sizes().items()}
    saved_s = seconds["train_full_data"] - seconds["train_distilled"]
    return {
        "task": setting.split.train.task,
        "protocol": _describe_protocol(setting),
        "headline_student": headline,
        "cautions": _list_cautions(setting, comparison, students),
        "students": students,
        "cross_architecture": _compare_architectures(setting, students),
        "size": sizes[DISTILLED],
        "sides": sizes,
        "seconds": seconds,
        "training": advise(setting, comparison, distilled),
        # A training on the summary that is no faster never pays the distillation back.
        "break_even_trainings": distil_s / saved_s if saved_s > 0 else None,
        "outer_loop": None if outer_loop is None else dict(outer_loop),
        "hard_sequences": dict(hard_sequences),
        "sequences": describe_appearance(distilled.synthetic, setting.split.train.vocabulary),
    }


def describe_hard_sequences(
    rule: Rule, synthetic: Synthetic, validations: Mapping[Rule, float] | None = None
) -> dict[str, Any]:
    """Return how hard sequences are drawn: the rule, how many draws were prepared, what each rule reached on validation."""
    prepared = synthetic.prepared_draws
    return {
        "rule": list(rule),
        "prepared_draws": 0 if prepared is None else len(prepared),
        "tried": [{"rule": list(tried), "validation": value} for tried, value in (validations or {}).items()],
    }


def write_report(report: Report, directory: Path) -> ArtifactFile:
    """Write ``report.json``."""
    path = directory / REPORT_NAME
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return ArtifactFile(path.name, path, "application/json")


def summarise_report(report: Report, metric: str) -> dict[str, float]:
    """Return the headline figures of one student: every side's ``metric``, the ratio and its interval; seconds and size."""
    student = report["students"][report["headline_student"]]
    summary = {f"{side}_{metric}": values[metric]["mean"] for side, values in student.items() if _has_mean(values, metric)}
    summary |= {f"ratio_{metric}_{end}": value for end, value in student["ratio"].get(metric, {}).items()}
    summary |= {f"{name}_seconds": value for name, value in report["seconds"].items()}
    summary["size_bytes"] = report["size"]["bytes"]
    maybe = {
        "break_even_trainings": report["break_even_trainings"],
        "speedup_to_same_metric": student["speedup_to_same_metric"]["ratio"],
    }
    summary |= {name: value for name, value in maybe.items() if value is not None}
    if report["outer_loop"] is not None:
        summary |= {"outer_steps": report["outer_loop"]["steps"], "best_outer_step": report["outer_loop"]["best_step"]}
    return {name: float(value) for name, value in summary.items()}


def _has_mean(values: Any, metric: str) -> bool:
    return isinstance(values, dict) and isinstance(values.get(metric), dict) and "std" in values[metric]


def _judge(setting: Setting, comparison: Comparison, architecture: Architecture) -> dict[str, Any]:
    cells = comparison.cells(architecture)
    figures: dict[str, Any] = {side: _mean_and_std(cell) for side, cell in cells.items()}
    ratios = {side: _ratio(setting, cell, cells[FULL_DATA]) for side, cell in cells.items() if side != FULL_DATA}
    figures["ratio"] = ratios.pop(DISTILLED)
    figures |= {f"ratio_{side}": ratio for side, ratio in ratios.items()}
    figures["chosen"] = {
        side: {
            "lr": cell.lr,
            "steps": [outcome.best_step for outcome in cell.outcomes],
            "train_seconds": [outcome.train_s for outcome in cell.outcomes],
        }
        for side, cell in cells.items()
    }
    curves = {side: [outcome.looks for outcome in cell.outcomes] for side, cell in cells.items()}
    is_better = real_plan(setting, setting.spec.teacher.lr).is_better
    figures["train_seconds"] = {side: _mean_train_s(cell) for side, cell in cells.items()}
    figures["speedup_to_same_metric"] = asdict(measure_speed_up(curves[DISTILLED], curves[FULL_DATA], is_better))
    figures["noise"] = [_describe_noise(setting, cells, level) for level in setting.spec.evaluation.noise_levels]
    figures["curves"] = {side: describe_curves(seeds) for side, seeds in curves.items()}
    return figures


def _list_cautions(setting: Setting, comparison: Comparison, students: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        asdict(caution)
        for name in comparison.architectures
        for caution in find_cautions(setting, name, comparison.cells(name), students[name]["ratio"].get(setting.metric))
    ]


def _describe_noise(setting: Setting, cells: Mapping[str, Cell], level: float) -> dict[str, Any]:
    """Return what full data and hard sequences keep of their own figures when a share of the training events is random."""
    return {
        "level": level,
        **{side: _ratio(setting, cells[noisy(side, level)], cells[side]) for side in (FULL_DATA, HARD)},
    }


def _compare_architectures(setting: Setting, students: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the matrix of who distilled and who trains: its row of the student that distilled."""
    metric = setting.metric
    return {
        "distilled_with": setting.spec.student.architecture,
        "metric": metric,
        "students": {
            name: {
                "full_data": student[FULL_DATA][metric],
                "distilled": student[DISTILLED][metric],
                "ratio": student["ratio"].get(metric),
            }
            for name, student in students.items()
        },
    }


def _mean_and_std(cell: Cell) -> dict[str, dict[str, float | None]]:
    tables = [summarise(outcome.scores) for outcome in cell.outcomes]
    return {name: _spread([table[name] for table in tables]) for name in tables[0]}


def _spread(values: Iterable[float]) -> dict[str, float | None]:
    """Return mean and standard deviation; one value has no deviation that anybody could know."""
    array = np.array(list(values))
    return {"mean": float(array.mean()), "std": float(array.std(ddof=1)) if len(array) > 1 else None}


def _ratio(setting: Setting, cell: Cell, full_data: Cell) -> dict[str, dict[str, float]]:
    intervals = bootstrap_ratio(
        [outcome.scores for outcome in cell.outcomes],
        [outcome.scores for outcome in full_data.outcomes],
        rng=np.random.default_rng(derive_seed(setting.spec.seed, "bootstrap")),
        num_resamples=NUM_RESAMPLES,
        level=LEVEL,
    )
    return {name: asdict(interval) for name, interval in intervals.items()}


def _mean_train_s(cell: Cell) -> float:
    return float(np.mean([outcome.train_s for outcome in cell.outcomes]))


def _describe_size(setting: Setting, size: SideSize) -> dict[str, float]:
    training_events = setting.split.train.num_events
    return {
        **asdict(size),
        "percent_of_events": 100.0 * size.events / training_events,
        "percent_of_bytes": 100.0 * size.bytes / (BYTES_PER_EVENT * training_events),
    }


def _describe_protocol(setting: Setting) -> dict[str, Any]:
    spec = setting.spec
    evaluation = spec.evaluation
    assert spec.synthetic.inputs is not None, "a setting has no choices left"
    shared = {
        "students": "fresh random initialisation on every side; nothing of a teacher enters them",
        "num_seeds": evaluation.num_seeds,
        "selection": (
            f"step and learning rate chosen on validation {setting.metric}: {evaluation.num_validations} evenly spaced looks "
            f"per training at {setting.validation.num_cases} cases, learning-rate factors {list(evaluation.lr_factors)} "
            "tried with the first seed, the same on every side"
        ),
        "max_steps": _describe_max_steps(setting),
        "ratio": f"side / full_data; {LEVEL:.0%} bootstrap interval over seeds and cases, {NUM_RESAMPLES} resamples",
        "hard_draws": evaluation.hard_draws,
        "hard_rule": (
            "events of hard sequences are drawn by soft_token^a x prediction^b x (expected / drawn)^c: the prediction is what "
            "teachers expect after the events drawn before it, the last factor favours events that were drawn less often than "
            "real data have them; (a, b, c) is the rule under hard_sequences, and where several were tried, by one fresh "
            f"student each, the best on validation where it beats (1, 0, 0) by more than {CLEARLY_BETTER:.0%}, else that"
        ),
        **_describe_noise_protocol(setting),
        "seconds": (
            "training to the chosen step, looks at validation not counted; distil counts teachers, the start and the outer "
            "loop, hard_sequences the trials of rules and the draws with teachers"
        ),
        "speedup_to_same_metric": (
            "seconds of training on full data over seconds of training on the summary, each to its first look at validation "
            "as good as the best of whichever ends up worse, seed by seed; seeds_reached: how many full-data trainings got as "
            "far as the summary's. With the others the summary's student was the better one on validation"
        ),
        "inputs": _INPUTS[spec.synthetic.inputs],
        "bytes": f"every tensor of the synthetic data; real data counted as {BYTES_PER_EVENT} bytes an event",
        "percent_of": "sizes in per cent are of the training data; what is held out for validation and test is not counted",
    }
    return {**_describe_task(setting), **shared, **_describe_baselines(setting)}


def _describe_noise_protocol(setting: Setting) -> dict[str, str]:
    if not setting.spec.evaluation.noise_levels:
        return {}
    return {
        "noise": (
            "a share of the events is replaced by events drawn uniformly from the vocabulary, in the real sequences that "
            "full-data students train on and in the hard sequences drawn from the summary; held-out data stay as they are, and "
            "nothing is distilled anew: distilling noisy data is another job"
        )
    }


def _describe_max_steps(setting: Setting) -> dict[str, int]:
    """Return the longest training of every side that differs from that of hard sequences, which stands for the others."""
    spec = setting.spec
    others = max_training_steps(HARD, spec)
    steps = {side: max_training_steps(side, spec) for side in list_sides(spec)}
    return {**{side: most for side, most in steps.items() if trains_as_teacher(side) or most != others}, "others": others}


def _describe_baselines(setting: Setting) -> dict[str, str]:
    if not list_learned_baselines(setting.spec):
        return {}
    wanted, outer = setting.spec.baseline, setting.spec.outer
    assert outer.lr is not None, "a setting has no choices left"
    return {
        "learned_baselines": (
            f"{wanted.num_steps or outer.num_steps} outer steps at learning rate {wanted.lr or outer.lr:g} (distilled: "
            f"{outer.num_steps} at {outer.lr:g}), from the same start, in the same form, with the same outer optimiser, "
            "validations and choice of the best; their seconds do not count teachers"
        )
    }


def _describe_task(setting: Setting) -> dict[str, Any]:
    evaluation, max_length = setting.spec.evaluation, setting.spec.student.max_length
    if isinstance(setting.split.test, HeldOutStream):
        return {
            "split": "contiguous: last lines for the test, those before for validation",
            "context": f"windows of {max_length} events, not overlapping: an early event of a window sees little context",
            "better": {"perplexity": "lower", "accuracy": "higher"},
        }
    decided = (
        "set by the spec"
        if evaluation.repeats_allowed is not None
        else f"decided from the data: allowed above {REPEAT_SHARE:.0%}"
    )
    return {
        "split": "leave one out by time: last event for the test, the one before for validation",
        "ranking": "over the whole vocabulary; ties count against the model",
        "repeats_allowed": setting.repeats_allowed,
        "repeats": f"{setting.repeat_share:.1%} of the validation targets are in their own history; {decided}",
        "history": f"the last {max_length} events",
    }
