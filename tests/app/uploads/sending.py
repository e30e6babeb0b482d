"""A file of three parts, and how a client sends it."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
from starlette.testclient import TestClient

from app.datasets.models import Dataset
from app.services import Services
from app.storage_parts import MIN_PART_BYTES
from tests.app.driving import declare

CONTENT = b"user,item,timestamp\n" + b"1,2,3\n" * ((2 * MIN_PART_BYTES) // 6) + b"4,5,6\n"
PARTS = [CONTENT[start : start + MIN_PART_BYTES] for start in range(0, len(CONTENT), MIN_PART_BYTES)]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


PLAN: dict[str, Any] = {"size_bytes": len(CONTENT), "sha256": sha256(CONTENT), "part_size_bytes": MIN_PART_BYTES}
PART_SHA256S = [sha256(part) for part in PARTS]


def begin(client: TestClient | httpx.Client, dataset_id: str | None = None, **fields: Any) -> tuple[str, dict[str, Any]]:
    """Return the path of a new upload, and what the service said of it."""
    path = f"/v1/datasets/{dataset_id or declare(client)}/uploads"
    answer = client.post(path, json=PLAN | fields)
    assert answer.status_code == 201, answer.text
    upload: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{path}/{upload['id']}"
    return f"{path}/{upload['id']}", upload


def send(client: TestClient | httpx.Client, path: str, *numbers: int) -> None:
    """Send parts through the API."""
    for number in numbers or range(1, len(PARTS) + 1):
        answer = client.put(f"{path}/parts/{number}", content=PARTS[number - 1])
        assert answer.status_code == 200, answer.text
        assert answer.json() == {
            "number": number,
            "size_bytes": len(PARTS[number - 1]),
            "sha256": PART_SHA256S[number - 1],
        }


def content_of(services: Services, dataset_id: str) -> bytes:
    """Return the bytes that a data set has."""
    with services.reading_sessions() as session:
        key = session.get_one(Dataset, dataset_id).content_key
    assert key is not None
    return b"".join(services.store.open_stream(key))


def unfinished(services: Services, dataset_id: str) -> list[str]:
    """Return the keys of what the store holds in parts for a data set."""
    keys = [item.key for item in services.store.parts.list_unfinished()]
    return [key for key in keys if key.startswith(f"datasets/{dataset_id}/")]
