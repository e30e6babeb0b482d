"""The benchmark of uploads runs, and its page says what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import upload


@pytest.mark.service
def test_every_way_is_measured(tmp_path: Path) -> None:
    results = upload.measure(tmp_path, 6 << 20, rounds=1)
    assert [item["way"] for item in results["measurements"]] == list(upload.NAMES)
    assert all(item["wall_s"] > 0 for item in results["measurements"])
    assert len(upload.table(results)) == len(upload.NAMES)


def test_the_page_is_what_the_results_say() -> None:
    page = upload.DOCUMENT.read_text(encoding="utf-8")
    assert page == upload.render(upload.read_results()), "run python -m bench.upload --document"


def test_the_committed_measurements_are_complete() -> None:
    results = upload.read_results()
    measured = {(item["way"], item["round"]) for item in results["measurements"]}
    assert measured == {(way, turn) for way in upload.NAMES for turn in range(upload.ROUNDS)}
    assert results["size_bytes"] == upload.SIZE_BYTES


def test_ratios_compare_uploads_of_the_same_round() -> None:
    seconds = dict.fromkeys(upload.NAMES, (1.0, 2.0, 4.0)) | {"s3 parts": (3.0, 4.0, 4.0)}
    measurements = [
        {"way": way, "round": turn, "wall_s": value, "growth_bytes": (80 << 20) if turn == 2 else 0}
        for way, values in seconds.items()
        for turn, value in enumerate(values)
    ]
    lines = {line["way"]: line for line in upload.table({"size_bytes": 10**9, "measurements": measurements})}
    parts = lines[upload.NAMES["s3 parts"]]
    assert (parts["ratio"], parts["rate"], parts["growth"], parts["verdict"]) == ("2.00", "250", "80 MiB", "missed")
    assert lines[upload.NAMES[upload.COPY]]["verdict"] == ""
