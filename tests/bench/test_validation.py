"""The race of validation still runs, and its page says what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import validation


def test_a_small_race_measures_both_on_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "ROUNDS", 1)
    results = validation.race(tmp_path, {"csv": 3000, "jsonl": 2000})
    measured = [(item["format"], item["contestant"], item["num_rows"]) for item in results["measurements"]]
    assert measured == [
        ("csv", "validation", 3000),
        ("csv", "polars", 3000),
        ("jsonl", "validation", 2000),
        ("jsonl", "polars", 2000),
    ]
    assert all(item["cpu_s"] > 0 and item["peak_bytes"] > 2**24 for item in results["measurements"])
    assert "csv" in validation.render(results)


def test_interactions_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        validation.write_interactions(tmp_path / name, 500)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_the_page_is_what_the_results_say() -> None:
    page = validation.DOCUMENT.read_text(encoding="utf-8")
    assert page == validation.render(validation.read_results()), "run python -m bench.validation --document"


def test_the_committed_race_is_complete() -> None:
    results = validation.read_results()
    measured = {(item["format"], item["contestant"], item["round"]) for item in results["measurements"]}
    rounds = range(validation.ROUNDS)
    assert measured == {(kind, who, turn) for kind in validation.NUM_ROWS for who in validation.CONTESTANTS for turn in rounds}
    assert results["num_rows"] == validation.NUM_ROWS


def test_medians_and_verdicts() -> None:
    def one(contestant: str, cpu_s: float, peak_bytes: float) -> dict[str, object]:
        return {
            "format": "csv",
            "contestant": contestant,
            "num_rows": 4e6,
            "wall_s": 2.0,
            "cpu_s": cpu_s,
            "peak_bytes": peak_bytes,
        }

    measurements = [one("validation", cpu_s, 3e9) for cpu_s in (6.0, 9.0, 60.0)] + [one("polars", 2.0, 1e9)]
    ours, polars = validation.table({"num_rows": {"csv": 4e6}, "measurements": measurements})
    assert (ours["cpu"], ours["ratio"], ours["rate"], ours["verdict"]) == ("9.0 s", "4.5", "2,000 k/s", "missed")
    assert (polars["ratio"], polars["verdict"], polars["peak"]) == ("1", "", "1,000 MB")
