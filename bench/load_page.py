"""The table of ``docs/benchmarks-service.md`` from the figures of ``bench/load.py``."""

from __future__ import annotations

from typing import Any

HEAD = """| request | answers a second | p50 | p95 | p99 | p50 at {steady}/s | p95 | p99 | p95 over the empty endpoint's |
|---|---|---|---|---|---|---|---|---|
"""


def render_table(results: dict[str, Any]) -> str:
    """Return a row for each request; times in milliseconds."""
    rows = results["rows"]
    limit = rows["empty endpoint"]["steady"]["ms"]["p95"]
    lines = []
    for name, row in rows.items():
        fast, steady = row["fast"], row["steady"]
        cells = [f"{fast['per_s']:,.0f}", *(f"{value:.1f}" for way in (fast, steady) for value in way["ms"].values())]
        cells.append(f"{steady['ms']['p95'] / limit:.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} |\n")
    return HEAD.format(steady=results["steady_per_s"]) + "".join(lines)
