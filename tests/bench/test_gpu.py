from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from bench import gpu
from bench.gpu import CPU, DOCUMENT, METHODS, RESULTS, TOLERANCE, compare, measure, render, run, table
from bench.metagrad.problem import TINY, Problem
from farzi_core.metagrad import MetaGradient, Method
from tests.project.repository import ROOT


def test_the_page_holds_the_committed_figures_and_no_others() -> None:
    result = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert DOCUMENT.read_text(encoding="utf-8") == render(result)
    assert set(result["errors"]) == set(METHODS)
    assert max(result["errors"].values()) < TOLERANCE


def test_a_method_that_computes_something_else_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(compare(CPU).values()) < TOLERANCE

    def wrong(problem: Problem, device: torch.device, method: Method) -> MetaGradient:
        result = run(problem, device, method)
        return replace(result, lr=1.001 * result.lr) if method == "offloaded" else result

    monkeypatch.setattr(gpu, "run", wrong)
    errors = compare(CPU)
    assert errors["offloaded"] == pytest.approx(0.001)
    assert errors["reversed"] < TOLERANCE


def test_ratios_are_to_stored_on_the_gpu_at_the_same_length() -> None:
    row = measure(TINY, CPU, "reversed", 2, rounds=2)
    assert len(row["seconds"]) == 2
    assert row["peak_bytes"] is None
    peer = {"device": "cuda", "method": "stored", "num_steps": 2, "seconds": [1.0, 4.0, 2.0], "peak_bytes": 2**21}
    half = {**peer, "method": "offloaded", "seconds": [1.0], "peak_bytes": 2**20}
    lines = table([peer, half, {**row, "seconds": [3.0]}])[2:]
    assert lines[1] == "| cuda | `offloaded` | 2 | 1.00 | 0.50 | 1 | 0.50 |"
    assert lines[2] == "| cpu | `reversed` | 2 | 3.00 | 1.50 | - | - |"


def test_without_a_gpu_a_sentence_says_so() -> None:
    command = [sys.executable, "-m", "bench.gpu"]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert result.returncode != 0
    assert "no CUDA device" in result.stderr
    assert "Traceback" not in result.stderr
