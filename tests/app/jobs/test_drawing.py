"""Hard sequences drawn at download: any number of them, always the same, from what was published."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import httpx
import pytest
import torch
from starlette.testclient import TestClient

from app.jobs import drawing
from app.services import Services
from farzi_core.artifacts import SyntheticFile, write_synthetic
from farzi_core.data_options import Tokenizer
from farzi_core.sequence_files import (
    hash_vocabulary,
    read_sequences_jsonl,
    read_sequences_parquet,
    write_sequences,
    write_vocabulary,
)
from farzi_core.soft_tokens import read_soft_tokens
from farzi_core.synthetic.base import Synthetic
from farzi_core.synthetic.factorized import FactorizedSynthetic
from farzi_core.synthetic.free import FreeSynthetic
from farzi_core.synthetic.tucker import TuckerSynthetic
from tests.app.driving import claim_job, code_of, make_ready, pointers_of, submit, succeed

TOKENS = ("the", "cat", "<eos>", "Zoë", 'a "b"')


def rand(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


FORMS: list[Synthetic] = [
    FactorizedSynthetic(rand(3, 6, 2), rand(2, 5)).with_learned_temperature(),
    TuckerSynthetic(rand(2, 2, 2), rand(3, 2), rand(6, 2), rand(2, 5), temperature=0.5),
    FreeSynthetic(rand(3, 6, 5)),
]


def publish(
    client: TestClient | httpx.Client,
    services: Services,
    directory: Path,
    synthetic: Synthetic,
    *,
    tokens: tuple[str, ...] = TOKENS,
    tokenizer: Tokenizer | None = None,
) -> str:
    """Return the id of a job with the files that a pipeline would publish."""
    content = SyntheticFile(synthetic, "-", hash_vocabulary(tokens), hard_seed=2**61 + 3, tokenizer=tokenizer)
    path = write_synthetic(content, directory / "synthetic.safetensors").path
    files = [path, write_vocabulary(tokens, directory / "vocabulary.json").path]
    for name in ("sequences.jsonl", "sequences.parquet"):
        events = read_soft_tokens(path).draw(4)
        files.append(write_sequences(events, tokens, directory / name, draws=4, tokenizer=tokenizer).path)
    job_id = submit(client, make_ready(client, services))
    (directory / "published").mkdir()
    succeed(services, claim_job(services, job_id), directory / "published", {file.name: file.read_bytes() for file in files})
    return job_id


@pytest.fixture
def job_id(client: TestClient, services: Services, tmp_path: Path) -> str:
    return publish(client, services, tmp_path, FORMS[0])


@pytest.mark.parametrize("synthetic", FORMS, ids=lambda synthetic: synthetic.parameterization)
def test_more_draws_begin_with_the_published_ones(
    client: TestClient, services: Services, tmp_path: Path, synthetic: Synthetic
) -> None:
    path = f"/v1/jobs/{publish(client, services, tmp_path, synthetic)}/artifacts/sequences.jsonl"
    published = client.get(path)
    seven = client.get(f"{path}?draws=7")
    assert (published.status_code, seven.status_code) == (200, 200)
    assert client.get(f"{path}?draws=4").content == published.content
    assert seven.content.startswith(published.content)
    (tmp_path / "seven.jsonl").write_bytes(seven.content)
    records = read_sequences_jsonl(tmp_path / "seven.jsonl")
    assert len(records) == 7 * 3
    assert {event for record in records for event in record["events"]} <= set(TOKENS)
    assert client.get(f"{path}?draws=1").content == b"".join(published.content.splitlines(keepends=True)[:3])
    assert client.get(f"{path}?draws=7").content == seven.content


def test_both_formats_hold_the_same(client: TestClient, services: Services, tmp_path: Path) -> None:
    base = f"/v1/jobs/{publish(client, services, tmp_path, FORMS[0], tokenizer='words')}/artifacts"
    for name in ("sequences.jsonl", "sequences.parquet"):
        answer = client.get(f"{base}/{name}?draws=9")
        assert answer.status_code == 200
        (tmp_path / name).write_bytes(answer.content)
    records = read_sequences_parquet(tmp_path / "sequences.parquet")
    assert records == read_sequences_jsonl(tmp_path / "sequences.jsonl")
    assert len(records) == 27
    assert "<eos>" not in records[0]["text"]


def test_headers_and_ranges(client: TestClient, job_id: str) -> None:
    path = f"/v1/jobs/{job_id}/artifacts/sequences.jsonl?draws=12"
    whole = client.get(path)
    digest = hashlib.sha256(whole.content)
    assert whole.headers["content-length"] == str(len(whole.content))
    assert whole.headers["etag"] == f'"{digest.hexdigest()}"'
    assert whole.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert whole.headers["content-disposition"] == 'attachment; filename="sequences-12-draws.jsonl"'
    part = client.get(path, headers={"Range": "bytes=100-", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, whole.content[100:])
    assert client.get(path, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert code_of(client.get(path, headers={"Range": "bytes=99999999-"}), 416) == "range_not_satisfiable"


def test_nothing_is_left_behind(client: TestClient, services: Services, job_id: str) -> None:
    client.get(f"/v1/jobs/{job_id}/artifacts/sequences.parquet?draws=5")
    assert list((services.settings.resolved_data_dir / "incoming").iterdir()) == []


@pytest.mark.parametrize("draws", ["0", "101", "-1", "argmax", "2.5", ""])
def test_numbers_out_of_range_are_refused(client: TestClient, job_id: str, draws: str) -> None:
    answer = client.get(f"/v1/jobs/{job_id}/artifacts/sequences.jsonl?draws={draws}")
    assert code_of(answer, 422) == "invalid_request"
    assert pointers_of(answer) == ["/query/draws"]


def test_only_sequences_are_drawn(client: TestClient, job_id: str) -> None:
    for draws in (4, 5):
        answer = client.get(f"/v1/jobs/{job_id}/artifacts/vocabulary.json?draws={draws}")
        assert code_of(answer, 422) == "invalid_request"
        assert "'vocabulary.json' holds no draws" in answer.json()["detail"]
    assert code_of(client.get(f"/v1/jobs/{job_id}/artifacts/none.jsonl?draws=5"), 404) == "artifact_not_found"


def test_too_much_to_draw_is_refused(client: TestClient, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/v1/jobs/{job_id}/artifacts/sequences.jsonl?draws=50"
    with monkeypatch.context() as patch:
        patch.setattr(drawing, "MAX_DRAWN_EVENTS", 200)
        assert "at most 11 draws" in client.get(path).json()["detail"]
    with monkeypatch.context() as patch:
        patch.setattr(drawing, "MAX_SCORES", 89)
        assert "farzi_core.soft_tokens" in client.get(path).json()["detail"]
    assert client.get(path).status_code == 200


def test_drawing_waits_its_turn(client: TestClient, services: Services, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_WAIT_FOR_SLOT_S", 0.05)
    path = f"/v1/jobs/{job_id}/artifacts/sequences.jsonl?draws=2"
    while services.drawing_slots.acquire(blocking=False):
        pass
    busy = client.get(path)
    assert code_of(busy, 429) == "too_many_drawings"
    assert "retry-after" in busy.headers
    services.drawing_slots.release()
    assert client.get(path).status_code == 200


def test_damaged_synthetic_data_are_a_problem(client: TestClient, services: Services, tmp_path: Path) -> None:
    job_id = submit(client, make_ready(client, services))
    files = {"synthetic.safetensors": b"no tensors", "sequences.jsonl": b"{}\n", "vocabulary.json": b"{}"}
    succeed(services, claim_job(services, job_id), tmp_path, files)
    answer = client.get(f"/v1/jobs/{job_id}/artifacts/sequences.jsonl?draws=2")
    assert code_of(answer, 503) == "storage_unavailable"
    assert json.loads(answer.text)["retryable"] is True
