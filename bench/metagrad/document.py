"""Writes docs/benchmarks.md from the committed results: every figure in it is read from there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from bench.metagrad.contestants import BASELINE, CONTESTANTS, FLAT
from bench.metagrad.figures import GROWTH_LIMIT, TARGETS, Figures, Race
from bench.metagrad.race import LONG, ROOT, SWEEP_LENGTHS, Results

RESULTS = ROOT / "bench" / "results" / "metagrad.json"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
TEMPLATE = Path(__file__).with_name("benchmarks.md.jinja")
PAIRS = (  # what is compared with what, and on which loss
    ("", BASELINE),
    (" + farzi loss", BASELINE),
    (" + farzi loss", "torchopt + farzi loss"),
)
NOT_MEASURED = "-"

Row = tuple[str, ...]


def read_results() -> Results:
    results: Results = json.loads(RESULTS.read_text(encoding="utf-8"))
    return results


def render(results: Results) -> str:
    """Return the document as Markdown."""
    race = Race(results["measurements"])
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        results=results,
        long=LONG,
        targets=_table(targets(race, results["settings"][0]["name"])),
        races=[_race(race, setting) for setting in results["settings"]],
        sweep=_table(sweep(race, results["settings"][0]["name"])),
        agreement=_table(agreement(race, results["settings"])),
    )


def times(race: Race, setting: str) -> Iterator[Row]:
    """CPU seconds and, in brackets, their ratio to the baseline's."""
    yield from _by_length(race, setting, lambda figures: f"{figures.cpu_s[0]:.2f}{_bracket(figures.time_ratio, 2)}")


def memories(race: Race, setting: str) -> Iterator[Row]:
    """Peak MiB and, in brackets, their ratio to the baseline's."""
    yield from _by_length(race, setting, lambda figures: f"{figures.peak_bytes / 2**20:.0f}{_bracket(figures.memory_ratio, 3)}")


def spreads(race: Race, setting: str) -> Iterator[Row]:
    """Least and greatest CPU seconds where there were several rounds, and what XLA took to compile."""
    yield ("contestant", "T", "runs", "CPU seconds", "least", "greatest", "CPU seconds to compile")
    for length in race.lengths(setting):
        for contestant in race.contestants(setting):
            figures = race.figures(setting, contestant, length)
            if figures is not None and figures.rounds > 1:
                compiled = race.rounds(setting, contestant, length)[0]["prepare_s"]
                seconds = [f"{value:.2f}" for value in figures.cpu_s]
                shown = f"{compiled:.1f}" if CONTESTANTS[contestant].is_compiled else ""
                yield (contestant, str(length), str(figures.rounds), *seconds, shown)


def targets(race: Race, setting: str) -> Iterator[Row]:
    yield ("target, relative to TorchOpt", "method", "plain loss, both", "farzi loss / plain loss", "farzi loss, both")
    for target in TARGETS:
        for method in ("farzi stored", "farzi checkpointed", "farzi reversed"):
            values = []
            for suffix, baseline in PAIRS:
                figures = race.figures(setting, method + suffix, target.length, baseline)
                value = None if figures is None else target.read(figures)
                values.append(NOT_MEASURED if value is None else _judge(value, target.limit))
            yield (target.title, f"`{method.removeprefix('farzi ')}`", *values)


def sweep(race: Race, setting: str) -> Iterator[Row]:
    yield ("contestant", *(f"T = {length}" for length in SWEEP_LENGTHS), f"growth, at most {GROWTH_LIMIT}")
    for contestant in FLAT:
        cells = []
        for length in SWEEP_LENGTHS:
            figures = race.figures(setting, contestant, length)
            cells.append(NOT_MEASURED if figures is None else f"{figures.peak_bytes / 2**20:.0f} MiB, {figures.cpu_s[0]:.1f} s")
        growth = race.growth(setting, contestant, SWEEP_LENGTHS[0], SWEEP_LENGTHS[-1])
        yield (contestant, *cells, NOT_MEASURED if growth is None else _judge(growth, GROWTH_LIMIT))


def agreement(race: Race, settings: list[dict[str, Any]]) -> Iterator[Row]:
    yield ("contestant", *(setting["title"] for setting in settings))
    for contestant in race.contestants(settings[0]["name"]):
        rounds = [race.rounds(setting["name"], contestant, 5) for setting in settings]
        yield (contestant, *(f"{items[0]['error']:.0e}" if items else NOT_MEASURED for items in rounds))


def _race(race: Race, setting: dict[str, Any]) -> dict[str, Any]:
    name = setting["name"]
    tables = {
        "times": _table(times(race, name)),
        "memories": _table(memories(race, name)),
        "spreads": _table(spreads(race, name)),
    }
    return {"setting": setting} | tables


def _by_length(race: Race, setting: str, show: Callable[[Figures], str]) -> Iterator[Row]:
    lengths = race.lengths(setting)
    yield ("contestant", *(f"T = {length}" for length in lengths))
    for contestant in race.contestants(setting):
        cells = []
        for length in lengths:
            figures = race.figures(setting, contestant, length)
            missing = "out of memory" if race.rounds(setting, contestant, length) else NOT_MEASURED
            cells.append(missing if figures is None else show(figures))
        yield (contestant, *cells)


def _judge(value: float, limit: float) -> str:
    digits = 3 if limit < 1 else 2
    return f"{value:.{digits}f} {'met' if value <= limit else 'missed'}"


def _bracket(ratio: float | None, digits: int) -> str:
    return "" if ratio is None else f" ({ratio:.{digits}f})"


def _table(rows: Iterable[Row]) -> str:
    header, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ("---",) * len(header), *body))
