"""Plots of the report, as SVG text. Draws numbers only: nothing a user named reaches a plot."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

BLUE, ORANGE, GREY = "#2b6cb0", "#c05621", "#718096"
# One a side, told apart by people who see no red or no green too (Okabe and Ito).
SIDE_COLORS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a500")
# Any: matplotlib types every setting by name.
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "farzi",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


@dataclass(frozen=True)
class Series:
    """Values over steps."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def append(self, step: int, value: float) -> None:
        self.steps.append(step)
        self.values.append(value)


def draw_outer_loop(outer_loss: Series, norm: Series) -> str:
    """Return the outer loss, with its running mean, and the meta-gradient's norm on a log scale."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8, 2.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot(outer_loss.steps, outer_loss.values, color=GREY, alpha=0.4, linewidth=0.8)
        left.plot(outer_loss.steps, _running_mean(outer_loss.values), color=BLUE)
        _label(left, "outer step", "outer loss (nats)")
        right.plot(norm.steps, norm.values, color=ORANGE, linewidth=0.8)
        if all(value > 0 for value in norm.values):
            right.set_yscale("log")
        _label(right, "outer step", "meta-gradient norm")
        return _to_svg(figure)


def draw_validation(validation: Series, teacher: Series, metric: str) -> str:
    """Return validation of fresh students over the outer loop, against the teacher's best."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8, 2.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot(validation.steps, validation.values, color=BLUE, marker="o", markersize=3)
        _label(left, "outer step", f"validation {metric}\n(student of the summary)")
        right.plot(teacher.steps, teacher.values, color=ORANGE, marker="o", markersize=3)
        _label(right, "training step", f"validation {metric}\n(teacher)")
        return _to_svg(figure)


def draw_ratios(ratios: dict[str, dict[str, float]], metric: str) -> str:
    """Return bars of each side's ratio to full data, with its interval: ``{side: {mean, low, high}}``."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5, 0.9 + 0.45 * len(ratios)), layout="constrained")
        axes = figure.subplots()
        means = np.array([ratio["mean"] for ratio in ratios.values()])
        ends = np.array([[ratio["mean"] - ratio["low"], ratio["high"] - ratio["mean"]] for ratio in ratios.values()]).T
        # The interval of a mean may miss it when seeds are few.
        axes.barh(list(ratios), means, xerr=np.maximum(ends, 0.0), color=BLUE, alpha=0.8, height=0.6, capsize=3)
        axes.axvline(1.0, color=GREY, linestyle="--", linewidth=1)
        axes.invert_yaxis()
        axes.set_xlabel(f"{metric} / full data")
        return _to_svg(figure)


def draw_learning_curves(curves: Mapping[str, Sequence[Mapping[str, Any]]], metric: str) -> str:
    """Return validation of each side, a line a seed: ``{side: [{steps, seconds, validation}]}``, against steps and seconds."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for number, (side, seeds) in enumerate(curves.items()):
            color = SIDE_COLORS[number % len(SIDE_COLORS)]
            for index, seed in enumerate(seeds):
                label = side if index == 0 else None
                left.plot(seed["steps"], seed["validation"], color=color, linewidth=1, alpha=0.8, label=label)
                # A clock may not have moved during the first steps.
                seconds = np.maximum(seed["seconds"], 1e-4)
                right.plot(seconds, seed["validation"], color=color, linewidth=1, alpha=0.8)
        right.set_xscale("log")
        _label(left, "training step", f"validation {metric}")
        right.set_xlabel("seconds of training")
        figure.legend(loc="outside upper center", ncols=3, frameon=False)
        return _to_svg(figure)


def draw_noise(levels: Sequence[float], kept: Mapping[str, Sequence[Mapping[str, float]]], metric: str) -> str:
    """Return what each side keeps of its own clean figure at each noise level: ``{side: [{mean, low, high}]}``."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5, 2.8), layout="constrained")
        axes = figure.subplots()
        percent = [100.0 * level for level in (0.0, *levels)]
        for color, (side, intervals) in zip(SIDE_COLORS, kept.items(), strict=False):
            means = np.array([1.0, *(interval["mean"] for interval in intervals)])
            low = np.array([1.0, *(interval["low"] for interval in intervals)])
            high = np.array([1.0, *(interval["high"] for interval in intervals)])
            axes.plot(percent, means, color=color, marker="o", markersize=3, label=side)
            axes.fill_between(percent, low, high, color=color, alpha=0.15, linewidth=0)
        axes.set_xticks(percent)
        _label(axes, "random events in the training data (%)", f"{metric} / without noise")
        axes.legend(frameon=False)
        return _to_svg(figure)


def draw_entropy_by_position(per_position: Sequence[float], largest: float) -> str:
    """Return the mean entropy of each position in nats, with the largest one there can be."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8, 2.4), layout="constrained")
        axes = figure.subplots()
        axes.plot(range(1, len(per_position) + 1), per_position, color=BLUE, marker="o", markersize=3)
        axes.axhline(largest, color=GREY, linestyle="--", linewidth=1)
        axes.annotate("uniform", (1, largest), color=GREY, va="top", xytext=(0, -3), textcoords="offset points")
        axes.set_ylim(0.0, largest * 1.05)
        axes.set_xlim(0.5, len(per_position) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _label(axes, "position", "entropy (nats)")
        return _to_svg(figure)


def draw_entropy(entropy: NDArray[np.float64], largest: float) -> str:
    """Return the entropy of soft tokens (S, L) in nats as a map, on a scale from 0 to ``largest``."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.grid(visible=False)
        # Sequences and positions are counted from 1, as in the tables.
        extent = (0.5, entropy.shape[1] + 0.5, entropy.shape[0] + 0.5, 0.5)
        image = axes.imshow(entropy, aspect="auto", vmin=0.0, vmax=largest, interpolation="nearest", extent=extent)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        _label(axes, "position", "synthetic sequence")
        figure.colorbar(image, ax=axes, label="entropy (nats)")
        return _to_svg(figure)


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _running_mean(values: Sequence[float], width: int = 10) -> NDArray[np.float64]:
    totals = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    means: NDArray[np.float64] = (totals[ends] - totals[starts]) / (ends - starts)
    return means


def _to_svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
