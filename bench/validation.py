"""How fast uploads are read, and in how much memory, against polars reading the same files.

python -m bench.validation              measures: 10 million interactions as csv and parquet, 2 million as JSON lines
python -m bench.validation --document   writes docs/benchmarks-validation.md from the committed measurements

Every measurement is a process of its own: ``validation`` is what a validation run does with a file (reading with every check,
sequences, statistics, the canonical file), ``polars`` is ``scan_*().collect()``, which checks nothing and finds no sequences.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jinja2 import Environment, StrictUndefined

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results" / "validation.json"
DOCUMENT = ROOT / "docs" / "benchmarks-validation.md"
TEMPLATE = Path(__file__).with_name("validation.md.jinja")
SEED = 0
ROUNDS = 3
MILLION = 1_000_000
NUM_ROWS = {"csv": 10 * MILLION, "parquet": 10 * MILLION, "jsonl": 2 * MILLION}
CONTESTANTS = ("validation", "polars")
MEMORY_TARGET_BYTES = 2 * 10**9
_SCANS: dict[str, Callable[[Path], pl.LazyFrame]] = {"csv": pl.scan_csv, "parquet": pl.scan_parquet, "jsonl": pl.scan_ndjson}


def main() -> None:
    """Measure, or write the page, or be one measurement."""
    parser = argparse.ArgumentParser(description="Race reading uploads against polars.")
    parser.add_argument("--document", action="store_true", help="only write the page, from the committed measurements")
    parser.add_argument("--one", nargs=2, metavar=("CONTESTANT", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        contestant, path = arguments.one
        sys.stdout.write(json.dumps(measure(contestant, Path(path))))
        return
    if not arguments.document:
        with tempfile.TemporaryDirectory(prefix="farzi-bench-") as directory:
            RESULTS.write_text(json.dumps(race(Path(directory), NUM_ROWS), indent=1) + "\n", encoding="utf-8")
    DOCUMENT.write_text(render(read_results()), encoding="utf-8")


def race(directory: Path, num_rows: dict[str, int]) -> dict[str, Any]:
    """Return all measurements; contestants take turns within a round."""
    files = {}
    for data_format, rows in num_rows.items():
        files[data_format] = directory / f"interactions.{data_format}"
        write_interactions(files[data_format], rows)
    measurements = [
        {"format": data_format, "contestant": contestant, "round": turn, **_measure_apart(contestant, path)}
        for turn in range(ROUNDS)
        for data_format, path in files.items()
        for contestant in CONTESTANTS
    ]
    return {
        "measured_at": datetime.now(UTC).date().isoformat(),
        "seed": SEED,
        "num_rows": num_rows,
        "size_bytes": {data_format: path.stat().st_size for data_format, path in files.items()},
        "machine": {"cores": os.cpu_count(), "load_average": round(os.getloadavg()[0], 1), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("polars", "pyarrow", "numpy")},
        "measurements": measurements,
    }


def write_interactions(path: Path, num_rows: int) -> None:
    """Write seeded interactions: 50 a user, items as popular as a Pareto distribution makes them, 100 million seconds."""
    random = np.random.default_rng(SEED)
    frame = pl.DataFrame(
        {
            "user": random.integers(0, max(2, num_rows // 50), num_rows),
            "item": np.minimum((random.pareto(1.0, num_rows) * 100).astype(np.int64), 199_999),
            "timestamp": 1_600_000_000 + random.integers(0, 10**8, num_rows),
        }
    ).with_columns(pl.format("u{}", "user").alias("user"), pl.format("i{}", "item").alias("item"))
    writers: dict[str, Callable[[Path], object]] = {
        ".csv": frame.write_csv,
        ".parquet": frame.write_parquet,
        ".jsonl": frame.write_ndjson,
    }
    writers[path.suffix](path)


def measure(contestant: str, path: Path) -> dict[str, Any]:
    """Measure one reading in this process, which must be fresh: seconds, and the peak of resident memory, imports included."""
    from farzi_core.data.reading import read_dataset  # noqa: PLC0415  both contestants have paid for the same imports

    data_format = path.suffix[1:]
    start, cpu_start = time.perf_counter(), time.process_time()
    if contestant == "polars":
        num_rows = _SCANS[data_format](path).collect().height
    else:
        result = read_dataset(path, task="sequential_recommendation", format=data_format)  # type: ignore[arg-type]
        assert result.dataset is not None, result.report["problems"][:1]
        num_rows = result.report["num_rows"]
        with tempfile.TemporaryDirectory(prefix="farzi-bench-") as directory:
            result.dataset.write_parquet(Path(directory) / "canonical.parquet")
    return {
        "num_rows": num_rows,
        "wall_s": time.perf_counter() - start,
        "cpu_s": time.process_time() - cpu_start,
        "peak_bytes": _peak_bytes(),
    }


def read_results() -> dict[str, Any]:
    """Return the committed measurements."""
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return results


def render(results: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(results, rows=table(results), rounds=ROUNDS, target=f"{MEMORY_TARGET_BYTES / 1e9:.0f} GB")


def table(results: dict[str, Any]) -> list[dict[str, str]]:
    """Return the lines of the page's table, medians over the rounds."""
    return [
        _line(data_format, contestant, _medians(results, data_format, contestant), _medians(results, data_format, "polars"))
        for data_format in results["num_rows"]
        for contestant in CONTESTANTS
    ]


def _medians(results: dict[str, Any], data_format: str, contestant: str) -> dict[str, float]:
    chosen = [item for item in results["measurements"] if (item["format"], item["contestant"]) == (data_format, contestant)]
    return {name: statistics.median(item[name] for item in chosen) for name in ("num_rows", "wall_s", "cpu_s", "peak_bytes")}


def _line(data_format: str, contestant: str, medians: dict[str, float], polars: dict[str, float]) -> dict[str, str]:
    is_ours = contestant == "validation"
    return {
        "format": data_format,
        "contestant": contestant,
        "rows": f"{medians['num_rows'] / MILLION:g} M",
        "wall": f"{medians['wall_s']:.1f} s",
        "cpu": f"{medians['cpu_s']:.1f} s",
        "rate": f"{medians['num_rows'] / medians['wall_s'] / 1000:,.0f} k/s",
        "ratio": f"{medians['cpu_s'] / polars['cpu_s']:.1f}" if is_ours else "1",
        "peak": f"{medians['peak_bytes'] / 1e6:,.0f} MB",
        "verdict": ("met" if medians["peak_bytes"] < MEMORY_TARGET_BYTES else "missed") if is_ours else "",
    }


def _measure_apart(contestant: str, path: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.validation", "--one", contestant, str(path)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    measurement: dict[str, Any] = json.loads(output)
    return measurement


def _peak_bytes() -> int:
    """Peak of resident memory; getrusage would count that of the process that started this one too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
