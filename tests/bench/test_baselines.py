from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from bench.baselines import describe_run, make_spec, read_commit, run, shorten, table
from farzi_core.config import LEARNED_BASELINES
from farzi_core.errors import FarziError
from tests.farzi_core.markov import interactions, tiny_spec
from tests.project.repository import ROOT


def test_every_baseline_of_the_task_is_run_unless_others_are_named() -> None:
    recommendation = make_spec("sequential_recommendation", "quick", ["outer.lr=0.5", "evaluation.num_seeds=1"])
    real = {"random", "random_equal_bytes", "head", "head_equal_bytes"}
    assert set(recommendation.evaluation.baselines) == {*real, *LEARNED_BASELINES}
    assert recommendation.outer.lr == 0.5
    assert recommendation.evaluation.num_seeds == 1
    assert "head" not in make_spec("language_modeling", "quick", []).evaluation.baselines
    assert make_spec("language_modeling", "quick", ['evaluation.baselines=["random"]']).evaluation.baselines == ("random",)


def test_figures_of_every_side_are_kept_and_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    spec = tiny_spec(evaluation={"baselines": ["random_equal_bytes", "first_order"], "num_seeds": 1}, outer={"num_steps": 1})
    result: dict[str, Any] = shorten(run(interactions(), spec))
    assert "first_order_validation" in capsys.readouterr().out
    assert json.loads(json.dumps(result)) == result
    assert "cautions" in result
    lines = table(result)
    sides = ["full_data", "distilled", "hard", "random_equal_bytes", "first_order"]
    assert [line.split(" | ")[1] for line in lines[2:]] == sides
    student = result["students"]["sasrec"]
    assert f"{student['first_order']['ndcg@10']['mean']:.4f}" in lines[-1]
    assert f"{student['ratio_first_order']['ndcg@10']['mean']:.3f}" in lines[-1]
    assert f"{result['sides']['random_equal_bytes']['bytes']:,}" in lines[-2]


@pytest.mark.parametrize(
    ("changes", "commit"), [("", "1234567"), (" M farzi_core/costs.py", None), (None, None)], ids=["clean", "changed", "no git"]
)
def test_a_run_names_its_commit_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, changes: str | None, commit: str | None
) -> None:
    def answer(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if changes is None:
            raise FileNotFoundError(command[0])
        return subprocess.CompletedProcess(command, 0, stdout=changes if command[1] == "status" else "1234567\n")

    monkeypatch.setattr(subprocess, "run", answer)
    read_commit.cache_clear()
    try:
        assert describe_run(1.0)["commit"] == commit
    finally:
        read_commit.cache_clear()


def test_what_does_not_fit_is_refused_before_any_work() -> None:
    with pytest.raises(FarziError, match="only 60"):
        run(interactions(), tiny_spec(synthetic={"num_sequences": 100}))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--data is needed for ml-100k"),
        (["--data", "no/such/u.data"], "no/such/u.data"),
        (["--preset", "fast"], "invalid choice: 'fast'"),
    ],
)
def test_a_wrong_command_ends_with_a_sentence(arguments: list[str], sentence: str) -> None:
    command = [sys.executable, "-m", "bench.baselines", "--data-set", "ml-100k", *arguments]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert result.returncode != 0
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
