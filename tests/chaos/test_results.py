"""The log of injections and the page made of it: one line a command, and no figure that is not in the log."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from tests.chaos.outcome import Outcome
from tests.chaos.reliability_page import DOCUMENT, render
from tests.chaos.results import append_result, read_results
from tests.chaos.table import FAULTS


def test_the_page_is_what_the_log_says() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render(read_results()), "run python -m tests.chaos.reliability_page"


def test_every_line_of_the_log_is_of_a_fault_there_is() -> None:
    assert {row["fault"] for row in read_results()} <= FAULTS.keys()


def test_results_are_appended_and_summed_on_the_page(tmp_path: Path) -> None:
    log = tmp_path / "results.jsonl"
    bad = Outcome(3, Counter({"runs lost": 3}), [1.0, 2.0, 40.0], ["job_x: two runs held the job at the same time"])
    for outcome in (bad, Outcome(4, recoveries_s=[9.0])):
        append_result(log, "run-kills", "python -m tests.chaos run-kills --count 3 --seed 0", 0, 61.0, "abc1234", outcome)
    first, second = read_results(log)
    assert json.loads(log.read_text().splitlines()[0]) == first
    assert first["recovery_s"] == {"p50": 2.0, "p95": 40.0, "max": 40.0}
    assert (second["recoveries_s"], second["num_violations"]) == ([9.0], 0)
    page = render([first, second])
    assert f"| {FAULTS['run-kills'].what} | 300 | 7 | 1 | 5.5 | 40.0 | 40.0 |" in page
    assert "**7 faults injected, 1 violations**" in page
    assert "two runs held the job at the same time" in page


def test_recoveries_of_a_service_that_recovered_in_another_way_count_no_more(tmp_path: Path) -> None:
    log = tmp_path / "results.jsonl"
    for seconds in (200.0, 4.0):
        command = "python -m tests.chaos worker-kills --count 1 --seed 0"
        append_result(log, "worker-kills", command, 0, 61.0, "abc1234", Outcome(1, recoveries_s=[seconds]))
    old, new = read_results(log)
    old["at"] = "2026-11-26T09:00:00+00:00"
    assert f"| {FAULTS['worker-kills'].what} | 100 | 2 | 0 | 4.0 | 4.0 | 4.0 |" in render([old, new])


def test_jobs_that_met_two_faults_count_for_both_and_once_in_the_sum(tmp_path: Path) -> None:
    log = tmp_path / "results.jsonl"
    append_result(log, "fair-share", "python -m tests.chaos fair-share --count 8 --seed 0", 0, 61.0, "abc1234", Outcome(8))
    page = render(read_results(log))
    assert f"| {FAULTS['message-storms'].what} | 500 | 8 | 0 |" in page
    assert f"| {FAULTS['fair-share'].what} | 500 | 8 | 0 |" in page
    assert "**8 faults injected, 0 violations**" in page


def test_a_fault_that_was_not_run_is_said_to_be_so() -> None:
    assert render([]).count("| not run |") == len(FAULTS)
