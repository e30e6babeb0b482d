"""``report.html``: the report as one self-contained page; everything a user named is escaped."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from farzi_core.comparison_plan import DISTILLED, FULL_DATA, is_noisy, name_side
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.setting import Setting
from farzi_core.evaluation.appearance import list_top_events
from farzi_core.evaluation.figures import (
    draw_entropy,
    draw_entropy_by_position,
    draw_learning_curves,
    draw_noise,
    draw_outer_loop,
    draw_ratios,
    draw_validation,
)
from farzi_core.evaluation.history import History
from farzi_core.evaluation.report import Report
from farzi_core.progress import ArtifactFile

PAGE_NAME = "report.html"
_TEMPLATE = "report.html.j2"
_SHOWN_SEQUENCES, _SHOWN_POSITIONS = 3, 12
_MAX_ENTROPY_ROWS = 200


@dataclass(frozen=True)
class Figure:
    """One plot of the page; a wide one has two parts or many positions, and is scrolled where it does not fit."""

    caption: str
    alt: str
    source: str
    is_wide: bool


def write_page(report: Report, history: History, setting: Setting, distilled: Distilled, directory: Path) -> ArtifactFile:
    """Write ``report.html``: tables, plots and the most likely events, in one file without scripts or links."""
    environment = Environment(
        loader=PackageLoader("farzi_core.evaluation"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    headline = report["students"][report["headline_student"]]
    metric = setting.metric
    examples = distilled.synthetic.probabilities()[:_SHOWN_SEQUENCES, :_SHOWN_POSITIONS]
    html = environment.get_template(_TEMPLATE).render(
        report=report,
        metric=metric,
        metrics=[metric, *(name for name in headline[FULL_DATA] if name != metric)],
        headline={"ratio": headline["ratio"].get(metric), "speed_up": headline["speedup_to_same_metric"]},
        sides=[side for side in report["sides"] if not is_noisy(side)],
        titles={side: name_side(side, setting.spec) for side in report["sides"]},
        ratios={name: _ratios(student) for name, student in report["students"].items()},
        figures=_draw(report, history, setting, distilled),
        examples=[list_top_events(probabilities, setting.split.train.vocabulary) for probabilities in examples],
        shown_positions=_SHOWN_POSITIONS,
        spec=json.dumps(setting.spec.model_dump(mode="json"), indent=2, ensure_ascii=False),
    )
    path = directory / PAGE_NAME
    path.write_text(html, encoding="utf-8")
    return ArtifactFile(path.name, path, "text/html")


def _ratios(student: Mapping[str, Any]) -> dict[str, Any]:
    """Return each side's ratios to full data; noise has a table of its own."""
    others = {key.removeprefix("ratio_"): value for key, value in student.items() if key.startswith("ratio_")}
    return {DISTILLED: student["ratio"], **{side: value for side, value in others.items() if not is_noisy(side)}}


def _draw(report: Report, history: History, setting: Setting, distilled: Distilled) -> dict[str, Any]:
    metric, students = setting.metric, report["students"]
    entropy = distilled.synthetic.entropy()[:_MAX_ENTROPY_ROWS].double().cpu().numpy()
    appearance = report["sequences"]["entropy"]
    largest = appearance["largest_possible"]
    return {
        "ratios": {name: _draw_ratios(_ratios(student), setting) for name, student in students.items()},
        "curves": {name: _draw_curves(student["curves"], setting) for name, student in students.items()},
        "noise": {name: _draw_noise(student["noise"], metric) for name, student in students.items()},
        "architectures": _draw_architectures(report["cross_architecture"]["students"], metric),
        "entropy_by_position": _figure(
            "Mean entropy of the soft tokens at each position.",
            "entropy by position",
            draw_entropy_by_position(appearance["per_position"], largest),
            is_wide=True,
        ),
        "entropy": _figure("Entropy of every soft token.", "map of entropy", draw_entropy(entropy, largest), is_wide=True),
        **(_draw_history(history, metric) if history.outer_loss.steps else {"validation": None, "outer_loop": None}),
    }


def _draw_history(history: History, metric: str) -> dict[str, Figure]:
    return {
        "validation": _figure(
            "Validation of fresh students on the way, and of the teacher along its training.",
            "validation over steps",
            draw_validation(history.validation, history.teacher_validation, metric),
            is_wide=True,
        ),
        "outer_loop": _figure(
            "Outer loss with its running mean, and norm of the meta-gradient.",
            "loss and norm over steps",
            draw_outer_loop(history.outer_loss, history.meta_gradient_norm),
            is_wide=True,
        ),
    }


def _draw_ratios(ratios: Mapping[str, Any], setting: Setting) -> Figure | None:
    metric = setting.metric
    shown = {name_side(side, setting.spec): ratio[metric] for side, ratio in ratios.items() if metric in ratio}
    return _figure("Ratio to full data.", f"{metric} of each side", draw_ratios(shown, metric)) if shown else None


def _draw_curves(curves: Mapping[str, Any], setting: Setting) -> Figure:
    named = {name_side(side, setting.spec): seeds for side, seeds in curves.items() if not is_noisy(side)}
    caption = "Validation along each training at the chosen learning rate, a line a student."
    return _figure(caption, "learning curves", draw_learning_curves(named, setting.metric), is_wide=True)


def _draw_noise(rows: list[Any], metric: str) -> Figure | None:
    rows = [row for row in rows if metric in row["full_data"] and metric in row["hard"]]
    if not rows:
        return None
    kept = {
        "full data": [row["full_data"][metric] for row in rows],
        "hard sequences": [row["hard"][metric] for row in rows],
    }
    svg = draw_noise([row["level"] for row in rows], kept, metric)
    return _figure("What is left when a share of the training events is random.", "noise", svg)


def _draw_architectures(students: Mapping[str, Any], metric: str) -> Figure | None:
    shown = {name: row["ratio"] for name, row in students.items() if row["ratio"] is not None}
    if len(shown) < 2:
        return None
    return _figure("Distilled over full data, each architecture with itself.", "ratios", draw_ratios(shown, metric))


def _figure(caption: str, alt: str, svg: str, *, is_wide: bool = False) -> Figure:
    return Figure(caption, alt, "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode(), is_wide)
