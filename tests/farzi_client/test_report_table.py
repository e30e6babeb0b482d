"""The table of the demo, from a report as the service writes it."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from farzi_client.cli.report_table import print_report


def side(ndcg: float, hr: float) -> dict[str, Any]:
    return {"ndcg@10": {"mean": ndcg, "std": 0.01}, "hr@10": {"mean": hr, "std": 0.02}}


def interval(mean: float) -> dict[str, Any]:
    return {"ndcg@10": {"mean": mean, "low": mean - 0.05, "high": mean + 0.05}}


REPORT: dict[str, Any] = {
    "task": "sequential_recommendation",
    "protocol": {"hard_draws": 4},
    "students": {
        "sasrec": {
            "full_data": side(0.6, 0.8),
            "distilled": side(0.57, 0.76),
            "hard": side(0.54, 0.7),
            "hard_1": side(0.5, 0.66),
            "random": side(0.45, 0.6),
            "ratio": interval(0.95),
            "ratio_hard": interval(0.9),
            "ratio_hard_1": interval(0.83),
            "ratio_random": interval(0.75),
            "chosen": {name: {"train_seconds": [1.0, 3.0]} for name in ("full_data", "distilled", "hard", "random")},
        }
    },
    "size": {"sequences": 20, "events": 1000, "bytes": 13_000, "percent_of_events": 0.5, "percent_of_bytes": 1.3},
    "sides": {
        "full_data": {"bytes": 1_000_000},
        "distilled": {"bytes": 13_000},
        "hard": {"bytes": 20_000},
        "hard_1": {"bytes": 5_000},
        "random": {"bytes": 5_000},
    },
    "seconds": {"distil": 130.0, "train_distilled": 2.0, "train_full_data": 12.0},
    "break_even_trainings": 13.0,
}


def printed(report: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=160)
    print_report(console, report)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row_of(text: str, title: str) -> str:
    return next(line for line in text.splitlines() if title in line)


def test_every_side_has_its_row() -> None:
    text = printed(REPORT)
    assert "0.600 ± 0.010" in row_of(text, "full data ")
    assert "95.0 % (90.0 % to 100.0 %)" in row_of(text, "distilled ")
    assert "90.0 % (85.0 % to 95.0 %)" in row_of(text, "hard sequences ")
    assert "83.0 % (78.0 % to 88.0 %)" in row_of(text, "hard sequences, one draw")
    assert "75.0 % (70.0 % to 80.0 %)" in row_of(text, "random, as many")
    assert "2.0 s" in row_of(text, "random, as many")


def test_sizes_are_counted_alike() -> None:
    text = printed(REPORT)
    assert "1.0 MB" in row_of(text, "full data ")
    assert "13.0 kB" in row_of(text, "distilled ")
    assert "20.0 kB" in row_of(text, "hard sequences ")
    assert "5.0 kB" in row_of(text, "random, as many")


def test_break_even() -> None:
    assert "break-even after 13 trainings" in printed(REPORT)
    assert "not faster" in printed({**REPORT, "break_even_trainings": None})


def test_cautions_stand_below_the_table() -> None:
    assert "caution" not in printed(REPORT)
    caution = {"code": "full_data_still_improving", "student": "sasrec", "message": "[red]raise[/red] teacher.num_steps."}
    text = printed({**REPORT, "cautions": [caution]})
    assert "caution (sasrec): [red]raise[/red] teacher.num_steps." in text


def test_language_modelling_has_its_own_metrics() -> None:
    sides = {
        name: {"perplexity": {"mean": 80.0, "std": 1.0}, "accuracy": {"mean": 0.2, "std": 0.01}} for name in ("full_data",)
    }
    text = printed({**REPORT, "task": "language_modeling", "students": {"transformer_lm": sides}})
    assert "80.000 ± 1.000" in text
    assert "NDCG" not in text


def test_one_student_has_no_deviation_to_show() -> None:
    students = {"sasrec": {**REPORT["students"]["sasrec"], "distilled": {"ndcg@10": {"mean": 0.57, "std": None}}}}
    assert "± 0.010" in row_of(printed(REPORT), "distilled")
    assert " 0.570 " in (row := row_of(printed({**REPORT, "students": students}), "distilled"))
    assert "±" not in row
