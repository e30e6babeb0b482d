"""``report.json`` as a table: what the summary is worth next to the full data and next to random sequences of its size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from farzi_client.cli.output import format_bytes, format_seconds

ROWS = {
    "full_data": "full data",
    "distilled": "distilled",
    "hard": "hard sequences",
    "random": "random sequences, equal size",
}
RANKING_METRICS = {"hr@10": "HR@10", "ndcg@10": "NDCG@10"}
LANGUAGE_METRICS = {"perplexity": "perplexity", "accuracy": "accuracy"}


def print_report(console: Console, report: Mapping[str, Any]) -> None:
    """Print one table per student, and what the distillation cost and saves."""
    metrics = LANGUAGE_METRICS if report.get("task") == "language_modeling" else RANKING_METRICS
    for name, student in report["students"].items():
        console.print(Group(Text(f"student: {name}", style="bold"), _student_table(student, metrics, report)))
    console.print(_size_line(report["size"]))
    console.print(_cost_line(report))


def _student_table(student: Mapping[str, Any], metrics: Mapping[str, str], report: Mapping[str, Any]) -> Table:
    table = Table(header_style="bold")
    table.add_column("trained on")
    for title in (*metrics.values(), "bytes", "training", "of full data (95 % interval)"):
        table.add_column(title, justify="right")
    headline = list(metrics)[-1] if "ndcg@10" in metrics else next(iter(metrics))
    sizes, seconds = _bytes_by_row(report["size"]), _seconds_by_row(report["seconds"])
    for row, title in ROWS.items():
        if row in student:
            cells = [_mean_and_spread(student[row].get(metric)) for metric in metrics]
            ratio = _ratio(row, student, headline)
            table.add_row(title, *cells, format_bytes(sizes.get(row)), format_seconds(seconds.get(row)), ratio)
    return table


def _ratio(row: str, student: Mapping[str, Any], metric: str) -> str:
    if row == "full_data":
        return "100 %"
    interval = student.get("ratio", {}).get(metric) if row == "distilled" else None
    if interval is not None:
        return f"{_percent(interval['mean'])} ({_percent(interval['low'])} to {_percent(interval['high'])})"
    full, own = student["full_data"].get(metric), student[row].get(metric)
    return _percent(own["mean"] / full["mean"]) if full and own and full["mean"] else "-"


def _bytes_by_row(size: Mapping[str, Any]) -> dict[str, float]:
    kept = size.get("bytes")
    percent = size.get("percent_of_bytes")
    if kept is None:
        return {}
    return {"distilled": kept, **({"full_data": 100.0 * kept / percent} if percent else {})}


def _seconds_by_row(seconds: Mapping[str, Any]) -> dict[str, float | None]:
    return {"full_data": seconds.get("train_full_data"), "distilled": seconds.get("train_distilled")}


def _size_line(size: Mapping[str, Any]) -> str:
    return (
        f"kept: {size['sequences']:,} sequences, {size['events']:,} events "
        f"({size['percent_of_events']:.2g} % of the events, {size['percent_of_bytes']:.2g} % of the bytes)"
    )


def _cost_line(report: Mapping[str, Any]) -> str:
    distil_s = format_seconds(report["seconds"].get("distil"))
    trainings = report.get("break_even_trainings")
    if trainings is None:
        return f"distilled in {distil_s}; a training on the summary is not faster than one on the full data"
    return f"distilled in {distil_s}; that is paid back after {trainings:,.0f} trainings"


def _mean_and_spread(value: Mapping[str, float] | None) -> str:
    return "-" if value is None else f"{value['mean']:.3f} ± {value['std']:.3f}"


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f} %"
