"""Charts as geometry: what a template needs to draw them as SVG, in a fixed frame, so that nothing moves when values come.

Colours and line styles belong to the style sheet; the words that say the same to who cannot see the chart are made here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.dashboard.formatting import figure

WIDTH, HEIGHT = 440, 220
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 12, 30
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
MOST_POINTS = 320
NUM_TICKS = 4

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Values over steps; one that is ``level`` is a line across the whole chart, and ``style`` a class of the style sheet."""

    name: str
    points: Sequence[Point]
    style: str = "line-1"
    level: float | None = None


@dataclass(frozen=True)
class Tick:
    """A mark of an axis, in the chart's units."""

    at: float
    label: str


@dataclass(frozen=True)
class DrawnLine:
    """One line: ``path`` is the attribute ``d``; ``end`` is its newest point."""

    name: str
    style: str
    path: str
    end: Point | None
    latest: str


@dataclass(frozen=True)
class LineChart:
    """Lines over one axis of steps; without lines the frame says that there is nothing yet."""

    title: str
    lines: tuple[DrawnLine, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    summary: str


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram."""

    x: float
    y: float
    width: float
    height: float
    label: str
    count: int


@dataclass(frozen=True)
class BarChart:
    """A histogram."""

    title: str
    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    summary: str


def draw_lines(title: str, series: Sequence[Series]) -> LineChart:
    """Return a line chart. The frame spans all points and levels."""
    shown = [each for each in series if each.points or each.level is not None]
    xs = [x for each in shown for x, _ in each.points]
    ys = [y for each in shown for _, y in each.points] + [each.level for each in shown if each.level is not None]
    if not ys:
        return LineChart(title, (), (), (), f"{title}: no values yet.")
    x_low, x_high = (min(xs), max(xs)) if xs else (0.0, 1.0)
    y_low, y_high = _padded(min(ys), max(ys))
    x_scale = PLOT_WIDTH / ((x_high - x_low) or 1.0)
    y_scale = PLOT_HEIGHT / (y_high - y_low)

    def place(point: Point) -> Point:
        return round(LEFT + (point[0] - x_low) * x_scale, 1), round(TOP + (y_high - point[1]) * y_scale, 1)

    lines = tuple(_draw_line(each, [place(point) for point in _thin(each.points)], place) for each in shown)
    x_ticks = tuple(Tick(place((x, y_low))[0], figure(x)) for x in _round_values(x_low, x_high, whole=True)) if xs else ()
    y_ticks = tuple(Tick(place((x_low, y))[1], figure(y, 3)) for y in _round_values(y_low, y_high))
    summary = f"{title}. " + "; ".join(_describe(each) for each in shown) + "."
    return LineChart(title, lines, x_ticks, y_ticks, summary)


def draw_bars(title: str, labels: Sequence[str], counts: Sequence[int]) -> BarChart:
    """Return a histogram: bars side by side, some of them labelled."""
    if not counts:
        return BarChart(title, (), (), (), f"{title}: nothing to show.")
    highest = max(*counts, 1)
    step = PLOT_WIDTH / len(counts)
    gap = min(2.0, step * 0.15)
    bars = []
    for index, (label, count) in enumerate(zip(labels, counts, strict=True)):
        height = round(PLOT_HEIGHT * count / highest, 1)
        left = round(LEFT + index * step + gap / 2, 1)
        bars.append(Bar(left, round(TOP + PLOT_HEIGHT - height, 1), round(step - gap, 1), height, label, count))
    every = math.ceil(max(len(counts) / 6, max(len(label) for label in labels) * 9 / step))
    x_ticks = tuple(
        Tick(round(LEFT + (index + 0.5) * step, 1), label) for index, label in enumerate(labels) if index % every == 0
    )
    y_ticks = tuple(
        Tick(round(TOP + PLOT_HEIGHT * (1 - value / highest), 1), figure(value))
        for value in _round_values(0.0, float(highest), whole=True)
    )
    most = counts.index(highest) if highest in counts else 0
    summary = f"{title}: {len(counts)} bars, from {labels[0]} to {labels[-1]}; the highest is {labels[most]} with {highest:,}."
    return BarChart(title, tuple(bars), x_ticks, y_ticks, summary)


def _draw_line(series: Series, placed: list[Point], place: object) -> DrawnLine:
    assert callable(place)
    if series.level is not None:
        _, y = place((0.0, series.level))
        return DrawnLine(series.name, series.style, f"M{LEFT},{y}H{WIDTH - RIGHT}", None, figure(series.level))
    path = "M" + "L".join(f"{x},{y}" for x, y in placed)
    return DrawnLine(series.name, series.style, path, placed[-1], figure(series.points[-1][1]))


def _thin(points: Sequence[Point]) -> Sequence[Point]:
    """Return at most about ``MOST_POINTS``: of each stretch the lowest and the highest, and always the newest."""
    if len(points) <= MOST_POINTS:
        return points
    stretch = math.ceil(2 * len(points) / MOST_POINTS)
    kept: list[Point] = []
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        kept += sorted({min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])})
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _padded(low: float, high: float) -> tuple[float, float]:
    margin = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _round_values(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Return about ``NUM_TICKS`` round numbers from ``low`` to ``high``."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / NUM_TICKS
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= raw)
    if whole:
        step = max(1.0, step)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _describe(series: Series) -> str:
    if series.level is not None:
        return f"{series.name} {figure(series.level)}"
    (first_x, first_y), (last_x, last_y) = series.points[0], series.points[-1]
    return f"{series.name} from {figure(first_y)} at step {figure(first_x)} to {figure(last_y)} at step {figure(last_x)}"
