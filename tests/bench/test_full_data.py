from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.full_data import RESULTS, SIZES, make_spec, measure, table, write_row
from tests.farzi_core.markov import interactions, text
from tests.project.repository import ROOT, read

TINY = {
    "student": {"hidden_size": 8, "num_layers": 1, "num_heads": 1, "max_length": 10},
    "synthetic": {"num_sequences": 3, "sequence_length": 8},
    "teacher": {"batch_size": 16},
    "evaluation": {"num_validations": 4, "ks": [10]},
}
CANDIDATES = [(1e-5, 0.0), (0.05, 0.0), (0.05, 0.5)]


def test_validation_chooses_the_candidate_that_every_seed_is_trained_with() -> None:
    dataset = interactions()
    row = measure(dataset, make_spec(dataset, "gru4rec", 12, TINY), CANDIDATES, num_seeds=3)
    validations = {(lr, dropout): value for lr, dropout, value, _ in row["candidates"]}
    assert validations[row["chosen"]["lr"], row["chosen"]["dropout"]] == max(validations.values())
    assert row["chosen"]["lr"] == 0.05
    assert len(row["steps"]) == 3
    assert all(0 < step <= 12 for step in row["steps"])
    assert row["metrics"]["ndcg@10"]["std"] > 0
    assert row["cpu_s"]["all"] > row["cpu_s"]["training"]["mean"] > 0
    assert json.loads(json.dumps(row)) == row


def test_text_takes_the_lowest_perplexity() -> None:
    dataset = text()
    row = measure(dataset, make_spec(dataset, "lstm", 8, TINY), CANDIDATES[:2], num_seeds=1)
    assert row["chosen"]["lr"] == 0.05
    assert row["metrics"]["perplexity"]["std"] is None
    assert f"| {row['metrics']['perplexity']['mean']:.1f} |" in table([{"data_set": "a text", **row}])[-1]


def rows(path: Path) -> list[Any]:
    return [(row["data_set"], row["student"]["num_layers"], row["value"]) for row in json.loads(path.read_text())]


def test_a_row_takes_the_place_of_one_with_the_same_data_and_sizes(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    for data_set, num_layers, value in (("a", 1, 1), ("b", 1, 2), ("a", 2, 3), ("a", 1, 4)):
        student = {**dict.fromkeys(SIZES, 0), "num_layers": num_layers}
        write_row(path, {"data_set": data_set, "student": student, "value": value})
    assert rows(path) == [("b", 1, 2), ("a", 2, 3), ("a", 1, 4)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--architecture", "gru4rec"], "--data is needed for ml-100k"),
        (["--architecture", "rnn", "--data", "u.data"], "invalid choice: 'rnn'"),
        (["--architecture", "gru4rec", "--data", "nowhere/u.data"], "nowhere/u.data"),
    ],
)
def test_wrong_arguments_are_answered_with_a_sentence(arguments: list[str], sentence: str) -> None:
    command = [sys.executable, "-m", "bench.full_data", "--data-set", "ml-100k", *arguments]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert result.returncode != 0
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_the_document_has_the_committed_rows() -> None:
    assert "\n".join(table(json.loads(RESULTS.read_text()))) in read("docs/students.md")
