"""Benchmarks still run, and the documented figures are the committed ones."""

from __future__ import annotations

import json
import subprocess
import sys

from bench import metagrad
from tests.project.repository import ROOT, read


def test_the_documented_table_is_the_committed_result() -> None:
    rows = metagrad.table_rows(json.loads(read("bench/results/metagrad.json")))
    expected = [f"| {' | '.join(row)} |" for row in rows]
    documented = [line for line in read("docs/benchmarks.md").splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert documented == expected, "docs/benchmarks.md should have these rows:\n" + "\n".join(expected)


def test_a_measurement_runs_in_a_process_of_its_own() -> None:
    command = [sys.executable, "bench/metagrad.py", "--measure", "stored", "--length", "3"]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    measurement = json.loads(output)
    assert measurement.keys() == {"cpu_s", "peak_bytes", "norm"}
    assert min(measurement.values()) > 0
