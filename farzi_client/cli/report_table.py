"""``report.json`` as a table: what the summary is worth next to the full data and next to its baselines."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from farzi_client.cli.output import format_bytes, format_seconds

SIDES = {
    "full_data": "full data",
    "distilled": "distilled",
    "hard": "hard sequences",
    "hard_1": "hard sequences, one draw",
    "random": "random, as many",
    "random_equal_bytes": "random, as many bytes",
    "head": "longest, as many",
    "head_equal_bytes": "longest, as many bytes",
    "gradient_matching": "gradient matching",
    "distribution_matching": "distribution matching",
    "trajectory_matching": "trajectory matching",
    "first_order": "first-order",
}
RANKING_METRICS = {"hr@10": "HR@10", "ndcg@10": "NDCG@10"}
LANGUAGE_METRICS = {"accuracy": "accuracy", "perplexity": "perplexity"}


def print_report(console: Console, report: Mapping[str, Any]) -> None:
    """Print one table per student, what the distillation cost and saves, and what to know before believing it."""
    metrics = LANGUAGE_METRICS if report["task"] == "language_modeling" else RANKING_METRICS
    for name, student in report["students"].items():
        console.print(_student_table(name, student, metrics, report["sides"]))
    console.print(_size_line(report["size"]))
    console.print(_cost_line(report))
    for caution in report.get("cautions", ()):  # reports of earlier versions have none
        console.print(f"caution ({caution['student']}): {caution['message']}", markup=False, highlight=False)


def _student_table(name: str, student: Mapping[str, Any], metrics: Mapping[str, str], sizes: Mapping[str, Any]) -> Table:
    headline = list(metrics)[-1]
    table = Table(header_style="bold")
    table.add_column(f"{name} trained on")
    for title in (*metrics.values(), "bytes", "training", f"{metrics[headline]} ratio (95 % interval)"):
        table.add_column(title, justify="right")
    for side, title in SIDES.items():
        if side in student:
            values = [_mean_and_spread(student[side].get(metric)) for metric in metrics]
            seconds = student.get("chosen", {}).get(side, {}).get("train_seconds")
            training = format_seconds(fmean(seconds) if seconds else None)
            table.add_row(title, *values, format_bytes(sizes[side]["bytes"]), training, _ratio(side, student, headline))
    return table


def _ratio(side: str, student: Mapping[str, Any], metric: str) -> str:
    if side == "full_data":
        return "100 %"
    interval = student.get("ratio" if side == "distilled" else f"ratio_{side}", {}).get(metric)
    if interval is None:
        return "-"
    return f"{_percent(interval['mean'])} ({_percent(interval['low'])} to {_percent(interval['high'])})"


def _size_line(size: Mapping[str, Any]) -> str:
    return (
        f"kept: {size['sequences']:,} sequences, {size['events']:,} events "
        f"({size['percent_of_events']:.3g} % of the training events, {size['percent_of_bytes']:.3g} % of their bytes)"
    )


def _cost_line(report: Mapping[str, Any]) -> str:
    distil_s = format_seconds(report["seconds"]["distil"])
    trainings = report["break_even_trainings"]
    if trainings is None:
        return f"distilled in {distil_s}; training on the summary is not faster than training on the full data"
    return f"distilled in {distil_s}; break-even after {trainings:,.0f} trainings"


def _mean_and_spread(value: Mapping[str, float | None] | None) -> str:
    if value is None:
        return "-"
    spread = value["std"]  # null where one student was trained
    return f"{value['mean']:.3f}" if spread is None else f"{value['mean']:.3f} ± {spread:.3f}"


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f} %"
