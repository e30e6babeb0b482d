"""The demo's upload, written from the real package."""

from __future__ import annotations

import csv
from pathlib import Path

from farzi_client.cli.demo_data import NUM_FLIGHTS, write_flights


def test_one_row_per_flight_that_was_flown(tmp_path: Path) -> None:
    path = tmp_path / "flights.csv"
    seen: list[tuple[int, int]] = []
    num_rows = write_flights(path, lambda done, total: seen.append((done, total)))
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["user", "item", "timestamp"]
    assert num_rows == len(rows) - 1 == 328_521
    assert len({row[0] for row in rows[1:]}) == 4037
    assert len({row[1] for row in rows[1:]}) == 104
    assert seen[-1] == (NUM_FLIGHTS, NUM_FLIGHTS)
    # The first flight of the year: scheduled 05:15 in New York (10:15 UTC), two minutes late.
    assert rows[1] == ["N14228", "IAH", str(1_357_035_420)]
