"""``report.html``: the report as one self-contained page; everything a user named is escaped."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from torch import Tensor

from farzi_core.data.sequences import Vocabulary
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.setting import Setting
from farzi_core.evaluation.figures import Series, draw_entropy, draw_outer_loop, draw_ratios, draw_validation
from farzi_core.evaluation.report import Report
from farzi_core.progress import ArtifactFile
from farzi_core.synthetic.sharpness import largest_entropy

PAGE_NAME = "report.html"
_TEMPLATE = "report.html.j2"
_SHOWN_SEQUENCES, _SHOWN_POSITIONS, _SHOWN_EVENTS = 3, 12, 5
_MAX_ENTROPY_ROWS = 200


@dataclass(frozen=True)
class History:
    """What was measured on the way, as series over steps."""

    outer_loss: Series = field(default_factory=Series)
    meta_gradient_norm: Series = field(default_factory=Series)
    validation: Series = field(default_factory=Series)
    teacher_validation: Series = field(default_factory=Series)


@dataclass(frozen=True)
class Figure:
    """One plot of the page."""

    title: str
    alt: str
    source: str


def write_page(report: Report, history: History, setting: Setting, distilled: Distilled, directory: Path) -> ArtifactFile:
    """Write ``report.html``: tables, plots and the most likely events, in one file without scripts or links."""
    environment = Environment(loader=PackageLoader("farzi_core.evaluation"), autoescape=True, undefined=StrictUndefined)
    html = environment.get_template(_TEMPLATE).render(
        report=report,
        metric=setting.metric,
        metrics=_metric_names(report),
        figures=_draw(report, history, setting, distilled),
        top_events=_top_events(distilled, setting.split.train.vocabulary),
        spec=json.dumps(setting.spec.model_dump(mode="json"), indent=2, ensure_ascii=False),
    )
    path = directory / PAGE_NAME
    path.write_text(html, encoding="utf-8")
    return ArtifactFile(path.name, path, "text/html")


def _metric_names(report: Report) -> list[str]:
    student = next(iter(report["students"].values()))
    return list(student["full_data"])


def _draw(report: Report, history: History, setting: Setting, distilled: Distilled) -> list[Figure]:
    metric = setting.metric
    figures = []
    for name, student in report["students"].items():
        ratios = {"distilled": student["ratio"]}
        ratios |= {key.removeprefix("ratio_"): value for key, value in student.items() if key.startswith("ratio_")}
        shown = {side: ratio[metric] for side, ratio in ratios.items() if metric in ratio}
        if shown:
            figures.append(_figure(f"{name}: ratio to full data", f"{metric} of each side", draw_ratios(shown, metric)))
    figures.append(
        _figure(
            "Validation on the way",
            "validation over steps",
            draw_validation(history.validation, history.teacher_validation, metric),
        )
    )
    figures.append(
        _figure("Outer loop", "loss and norm over steps", draw_outer_loop(history.outer_loss, history.meta_gradient_norm))
    )
    entropy = distilled.synthetic.entropy()[:_MAX_ENTROPY_ROWS].double().cpu().numpy()
    largest = largest_entropy(setting.vocab_size)
    figures.append(_figure("Entropy of the soft tokens", "map of entropy", draw_entropy(entropy, largest)))
    return figures


def _figure(title: str, alt: str, svg: str) -> Figure:
    return Figure(title, alt, "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode())


def _top_events(distilled: Distilled, vocabulary: Vocabulary) -> list[list[dict[str, Any]]]:
    """Return, for the first positions of the first sequences, the likeliest events with their probabilities."""
    synthetic = distilled.synthetic
    probabilities = synthetic.probabilities()[:_SHOWN_SEQUENCES, :_SHOWN_POSITIONS]
    values, events = torch.topk(probabilities, min(_SHOWN_EVENTS, len(vocabulary)), dim=-1)
    return [
        [
            _describe_position(position + 1, values[s, position], events[s, position], vocabulary)
            for position in range(probabilities.shape[1])
        ]
        for s in range(probabilities.shape[0])
    ]


def _describe_position(position: int, values: Tensor, events: Tensor, vocabulary: Vocabulary) -> dict[str, Any]:
    names = vocabulary.decode(events.tolist())
    return {"position": position, "events": list(zip(names, values.tolist(), strict=True))}
