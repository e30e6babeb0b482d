"""Writes docs/reliability.md from the committed log of injections: every figure in it is a line of ``results.jsonl``.

python -m tests.chaos.reliability_page
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from tests.chaos.outcome import percentiles
from tests.chaos.results import read_results
from tests.chaos.table import FAULTS, Fault

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
TEMPLATE = Path(__file__).with_name("reliability.md.jinja")
NOT_RUN = "not run"
NONE = "-"

Row = dict[str, Any]


def main() -> None:
    """Write the page."""
    DOCUMENT.write_text(render(read_results()), encoding="utf-8")


def render(rows: list[Row]) -> str:
    """Return the page as Markdown."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        table=_table(["fault", "asked for", "injected", "violations", "recovery s: p50", "p95", "max"], _summary(rows)),
        details=_table(["command", "commit", "minutes", "load", "recovery s", "what happened"], [_detail(row) for row in rows]),
        found=[(row, sentence) for row in rows for sentence in row["violations"]],
        total=f"{sum(row['injected'] for row in rows):,}",
        num_violations=sum(row["num_violations"] for row in rows),
    )


def _summary(rows: list[Row]) -> list[list[str]]:
    """One line a fault: all of its commands together, and those of faults whose jobs met it too."""
    return [
        _summarise(fault, [row for row in rows if fault.name in {row["fault"], FAULTS[row["fault"]].also}])
        for fault in FAULTS.values()
    ]


def _summarise(fault: Fault, rows: list[Row]) -> list[str]:
    if not rows:
        return [fault.what, str(fault.count), NOT_RUN, *[NONE] * 4]
    counted = [row for row in rows if row["at"] >= fault.recovers_since]
    recovery = percentiles(seconds for row in counted for seconds in row.get("recoveries_s", ()))
    return [
        fault.what,
        str(fault.count),
        str(sum(row["injected"] for row in rows)),
        str(sum(row["num_violations"] for row in rows)),
        *(f"{recovery[name]:.1f}" if recovery else NONE for name in ("p50", "p95", "max")),
    ]


def _detail(row: Row) -> list[str]:
    happened = ", ".join(f"{count} {what}" for what, count in row["counts"].items())
    load = row["machine"].get("load")
    recovery = ", ".join(f"{name} {seconds:.1f}" for name, seconds in row["recovery_s"].items())
    return [
        f"`{row['command']}`",
        f"`{row['commit']}`",
        f"{row['seconds'] / 60:.1f}",
        NONE if load is None else f"{load:.1f}",
        recovery or NONE,
        happened,
    ]


def _table(header: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *lines])


if __name__ == "__main__":
    main()
