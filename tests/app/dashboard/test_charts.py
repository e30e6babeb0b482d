"""Charts are right about numbers: places of points, ends of axes, what is left out. Numbers are written as people read them."""

from __future__ import annotations

import math
import re

import pytest

from app.dashboard.charts import BOTTOM, HEIGHT, LEFT, MOST_POINTS, RIGHT, TOP, WIDTH, Series, draw_bars, draw_lines
from app.dashboard.formatting import DASH, duration, figure, label_times, size, visible


def points_of(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+),([\d.]+)", path)]


def test_points_lie_where_their_values_are() -> None:
    chart = draw_lines("loss", [Series("loss", [(0, 4.0), (5, 2.0), (10, 3.0)])])
    (line,) = chart.lines
    places = points_of(line.path)
    assert [x for x, _ in places] == [LEFT, LEFT + (WIDTH - LEFT - RIGHT) / 2, WIDTH - RIGHT]
    ys = [y for _, y in places]
    assert ys[0] < ys[2] < ys[1], "higher values lie higher"
    assert ys[2] == pytest.approx((ys[0] + ys[1]) / 2, abs=0.2)
    assert all(TOP < y < HEIGHT - BOTTOM for y in ys)
    assert line.end == places[-1]


def test_a_level_is_inside_the_frame_and_spans_it() -> None:
    chart = draw_lines(
        "validation", [Series("distilled", [(1, 0.2), (2, 0.3)]), Series("full data", (), "line-full-data", 0.5)]
    )
    level = chart.lines[1].path
    (y,) = [float(found) for found in re.findall(r"M[\d.]+,([\d.]+)H", level)]
    assert TOP < y < min(place for _, place in points_of(chart.lines[0].path))
    assert level.endswith(f"H{WIDTH - RIGHT}")
    assert "full data 0.5" in chart.summary


def test_long_series_keep_their_extremes_and_their_end() -> None:
    values = [(float(step), math.sin(step / 7)) for step in range(10_000)]
    values[4321] = (4321.0, 50.0)
    (line,) = draw_lines("long", [Series("long", values)]).lines
    places = points_of(line.path)
    assert len(places) <= MOST_POINTS + 1
    assert min(y for _, y in places) == pytest.approx(TOP + (HEIGHT - TOP - BOTTOM) * 0.06 / 1.12, abs=0.2)
    assert places[-1][0] == WIDTH - RIGHT
    assert [x for x, _ in places] == sorted(x for x, _ in places)


@pytest.mark.parametrize(
    "values", [[], [(3.0, 1.0)], [(1.0, 2.0), (2.0, 2.0)], [(0.0, 0.0)], [(1.0, 1e-9), (2.0, 1e9)], [(1.0, -5.0), (2.0, -4.0)]]
)
def test_no_values_and_equal_values_can_be_drawn(values: list[tuple[float, float]]) -> None:
    chart = draw_lines("odd", [Series("odd", values)])
    assert len(chart.lines) == (1 if values else 0)
    for x, y in (place for line in chart.lines for place in points_of(line.path)):
        assert LEFT <= x <= WIDTH - RIGHT
        assert TOP <= y <= HEIGHT - BOTTOM
    assert all(TOP <= tick.at <= HEIGHT - BOTTOM for tick in chart.y_ticks)


def test_bars_are_as_high_as_their_counts() -> None:
    chart = draw_bars("lengths", ["1", "2-3", "4-7"], [10, 0, 5])
    assert [bar.height for bar in chart.bars] == [HEIGHT - TOP - BOTTOM, 0, (HEIGHT - TOP - BOTTOM) / 2]
    assert all(bar.y + bar.height == HEIGHT - BOTTOM for bar in chart.bars)
    assert draw_bars("none", [], []).bars == ()
    assert all(bar.height == 0 for bar in draw_bars("zeros", ["1", "2"], [0, 0]).bars)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, DASH),
        (0.08, "80 ms"),
        (4.24, "4.2 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_time_spans(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


def test_numbers() -> None:
    assert [size(n) for n in (None, 0, 999, 1000, 1_280_000, 5_400_000_000)] == [
        DASH,
        "0 bytes",
        "999 bytes",
        "1 kB",
        "1.28 MB",
        "5.4 GB",
    ]
    assert [figure(n) for n in (None, 0.00012345, 3.14159, 12_345.6)] == [DASH, "0.0001234", "3.142", "12,346"]


def test_names_that_cannot_be_seen_are_written_out() -> None:
    assert [visible(name) for name in ("Zoë", " ", "", "a\u202eb", "a\nb")] == ["Zoë", "' '", "''", r"'a\u202eb'", r"'a\nb'"]


def test_times_of_a_file_are_days_where_they_can_be() -> None:
    assert label_times(["2013-01-01T05:00:00Z"]) == ("Events over time", ["2013-01-01"])
    assert label_times([1_357_000_000]) == ("Events over time, read as seconds since 1970", ["2013-01-01"])
    assert label_times([1_357_000_000_000]) == ("Events over time, read as milliseconds since 1970", ["2013-01-01"])
    assert label_times([1, 2, 3])[1] == ["1", "2", "3"]
