from __future__ import annotations

import json

from bench.load import RESULTS
from bench.load_generator import PERCENTILES, Answers, Call
from bench.load_page import render_table
from tests.project.repository import read


def test_the_document_has_the_committed_figures() -> None:
    results = json.loads(RESULTS.read_text())
    assert render_table(results) in read("docs/benchmarks-service.md")
    assert results["server_errors"] == 0


def test_percentiles_and_statuses() -> None:
    answers = Answers(seconds=[number / 1000 for number in range(101)])
    answers.statuses.update({200: 100, 503: 1})
    summary = answers.summary(took_s=2.0)
    assert summary["ms"] == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert summary["ms"].keys() == PERCENTILES.keys()
    assert (summary["per_s"], summary["statuses"]) == (50.5, {"200": 100, "503": 1})


def test_a_call_on_the_wire() -> None:
    head, _, body = Call(80, "POST", "/x", {"A": "b"}, b"{}").wire.partition(b"\r\n\r\n")
    assert head.decode().split("\r\n") == ["POST /x HTTP/1.1", "Host: 127.0.0.1:80", "Content-Length: 2", "A: b"]
    assert body == b"{}"
