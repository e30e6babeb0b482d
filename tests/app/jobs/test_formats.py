"""Hard sequences in the formats of other programs, at download."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from app.services import Services
from farzi_core.data.reading import read_dataset
from farzi_core.data_options import Tokenizer
from farzi_core.sequence_files import read_sequences_jsonl, read_sequences_parquet, write_sequences
from tests.app.driving import code_of, pointers_of
from tests.app.jobs.test_drawing import FORMS, TOKENS, publish

INTERACTION_TOKENS = ("i1", "i-2", "tab\tid", "Zoë", 'a"b')
SPACED_TOKENS = ("i1", "i-2", "two words", "Zoë", "e")


@pytest.fixture
def base(client: TestClient, services: Services, tmp_path: Path) -> str:
    job_id = publish(client, services, tmp_path, FORMS[0], tokens=INTERACTION_TOKENS)
    return f"/v1/jobs/{job_id}/artifacts"


def records_of(client: TestClient, url: str, directory: Path) -> list[list[str]]:
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    (directory / "asked.jsonl").write_bytes(answer.content)
    return [record["events"] for record in read_sequences_jsonl(directory / "asked.jsonl")]


def test_recbole_files_hold_every_event(client: TestClient, base: str, tmp_path: Path) -> None:
    answer = client.get(f"{base}/sequences.jsonl?format=inter&draws=3&seed=5")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/tab-separated-values; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="sequences-3-draws-seed-5.inter"'
    rows = list(csv.reader(io.StringIO(answer.text, newline=""), delimiter="\t"))
    assert rows[0] == ["user_id:token", "item_id:token", "timestamp:float"]
    expected = records_of(client, f"{base}/sequences.jsonl?draws=3&seed=5", tmp_path)
    assert rows[1:] == [[str(user), item, str(at)] for user, items in enumerate(expected) for at, item in enumerate(items)]

    (tmp_path / "again.inter").write_bytes(answer.content)
    read = read_dataset(tmp_path / "again.inter", task="sequential_recommendation", format="inter").dataset
    assert read is not None
    assert [read.vocabulary.decode(read.sequence(index).tolist()) for index in range(read.num_sequences)] == expected


def test_text_has_a_sequence_a_line(client: TestClient, services: Services, base: str, tmp_path: Path) -> None:
    refused = client.get(f"{base}/sequences.parquet?format=text")
    assert code_of(refused, 422) == "invalid_request"
    assert pointers_of(refused) == ["/query/format"]
    assert "'tab\\tid' holds white space" in refused.json()["detail"]
    (tmp_path / "words").mkdir()
    job_id = publish(
        client, services, tmp_path / "words", FORMS[0], tokens=("the", "cat", "<eos>", "sat", "on"), tokenizer="words"
    )
    words = f"/v1/jobs/{job_id}/artifacts/sequences.jsonl"
    answer = client.get(f"{words}?format=text&draws=2")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == "".join(" ".join(events) + "\n" for events in records_of(client, f"{words}?draws=2", tmp_path))
    assert "'jsonl', 'parquet' or 'text'" in client.get(f"{words}?format=inter").json()["detail"]


@pytest.mark.parametrize(
    ("tokenizer", "tokens"), [("characters", ("a", " ", "<eos>", "é", "c")), (None, ("a", "b", "c", "d", "e"))]
)
def test_characters_stand_side_by_side_and_ids_apart(
    client: TestClient, services: Services, tmp_path: Path, tokenizer: Tokenizer | None, tokens: tuple[str, ...]
) -> None:
    job_id = publish(client, services, tmp_path, FORMS[0], tokens=tokens, tokenizer=tokenizer)
    url = f"/v1/jobs/{job_id}/artifacts/sequences.jsonl"
    separator = " " if tokenizer is None else ""
    expected = [separator.join(events) for events in records_of(client, url, tmp_path)]
    assert client.get(f"{url}?format=text").text.removesuffix("\n").split("\n") == expected


def test_formats_of_published_files_are_those_files(client: TestClient, base: str) -> None:
    for asked in ("sequences.jsonl?format=parquet", "sequences.parquet?format=parquet&draws=4", "sequences.parquet?draws=4"):
        answer = client.get(f"{base}/{asked}")
        assert answer.content == client.get(f"{base}/sequences.parquet").content
        assert answer.headers["content-disposition"] == 'attachment; filename="sequences.parquet"'


def test_other_seeds_draw_other_sequences(client: TestClient, base: str, tmp_path: Path) -> None:
    published = records_of(client, f"{base}/sequences.jsonl", tmp_path)
    seeded = [records_of(client, f"{base}/sequences.jsonl?seed={seed}", tmp_path) for seed in (0, 0, 2**64 - 1)]
    assert seeded[0] == seeded[1] != seeded[2]
    assert published not in seeded
    assert records_of(client, f"{base}/sequences.jsonl?seed=0&draws=6", tmp_path)[: len(published)] == seeded[0]


def test_drawn_parquet_is_loaded_by_datasets(client: TestClient, base: str, tmp_path: Path) -> None:
    path = tmp_path / "drawn.parquet"
    path.write_bytes(client.get(f"{base}/sequences.jsonl?format=parquet&draws=2&seed=1").content)
    loaded = datasets.load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "cache"), split="train")
    assert loaded["events"][:] == records_of(client, f"{base}/sequences.jsonl?draws=2&seed=1", tmp_path)
    assert len(read_sequences_parquet(path)) == 6


@pytest.mark.parametrize(
    ("query", "pointer", "named"),
    [
        ("format=csv", "/query/format", "'jsonl', 'parquet', 'inter' or 'text'"),
        ("format=", "/query/format", "'jsonl'"),
        ("seed=-1", "/query/seed", "0"),
        ("seed=18446744073709551616", "/query/seed", "18446744073709551616"),
        ("form=inter", "/query/form", "format"),
    ],
)
def test_wishes_that_cannot_be_met(client: TestClient, base: str, query: str, pointer: str, named: str) -> None:
    answer = client.get(f"{base}/sequences.jsonl?{query}")
    assert code_of(answer, 422) == "invalid_request"
    assert pointers_of(answer) == [pointer]
    assert named in json.dumps(answer.json(), ensure_ascii=False)


def test_only_sequences_have_formats(client: TestClient, base: str) -> None:
    for query, pointer in (("format=jsonl", "/query/format"), ("seed=1", "/query/seed")):
        answer = client.get(f"{base}/vocabulary.json?{query}")
        assert code_of(answer, 422) == "invalid_request"
        assert pointers_of(answer) == [pointer]


def test_large_parquet_files_are_written_in_groups(tmp_path: Path) -> None:
    events = np.arange(25_000 * 2, dtype=np.int32).reshape(-1, 2) % len(TOKENS)
    write_sequences(events, TOKENS, tmp_path / "sequences.parquet", draws=5)
    assert pq.read_metadata(tmp_path / "sequences.parquet").num_row_groups == 3
    assert len(read_sequences_parquet(tmp_path / "sequences.parquet")) == 25_000
