"""Downloads: the bytes that were published, whole or in part, or a URL to them."""

from __future__ import annotations

import hashlib
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.services import Services
from app.settings import Settings
from tests.app.driving import ADMIN, claim_job, code_of, make_ready, submit, succeed

CONTENT = bytes(range(256)) * 5000
FILES = {"synthetic.safetensors": CONTENT, "sequences.jsonl": b'{"events": ["a"]}\n', "empty.bin": b""}


@pytest.fixture
def job_id(client: TestClient, services: Services, tmp_path: Path) -> str:
    submitted = submit(client, make_ready(client, services))
    succeed(services, claim_job(services, submitted), tmp_path, FILES)
    return submitted


def test_the_list_has_the_digests(client: TestClient, job_id: str) -> None:
    listed = {item["name"]: item for item in client.get(f"/v1/jobs/{job_id}/artifacts").json()["data"]}
    assert set(listed) == set(FILES)
    for name, content in FILES.items():
        assert listed[name]["size_bytes"] == len(content)
        assert listed[name]["sha256"] == hashlib.sha256(content).hexdigest()


def test_whole_files(client: TestClient, job_id: str) -> None:
    for name, content in FILES.items():
        answer = client.get(f"/v1/jobs/{job_id}/artifacts/{name}")
        assert answer.status_code == 200
        assert answer.content == content
        assert answer.headers["content-length"] == str(len(content))
        assert answer.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=1279990-", 1279990, 1280000),
        ("bytes=-7", 1279993, 1280000),
        ("bytes=5-9999999", 5, 1280000),
        ("bytes=-9999999", 0, 1280000),
    ],
)
def test_ranges(client: TestClient, job_id: str, asked: str, start: int, end: int) -> None:
    answer = client.get(f"/v1/jobs/{job_id}/artifacts/synthetic.safetensors", headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == CONTENT[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"


def test_ranges_that_are_not_to_be_had(client: TestClient, job_id: str) -> None:
    path = f"/v1/jobs/{job_id}/artifacts/synthetic.safetensors"
    for asked in ("bytes=1280000-", "bytes=-0"):
        answer = client.get(path, headers={"Range": asked})
        assert code_of(answer, 416) == "range_not_satisfiable"
        assert answer.headers["content-range"] == "bytes */1280000"
    for asked in ("bytes=0-1,3-4", "lines=1-2", "bytes=9-3", "bytes=-"):
        answer = client.get(path, headers={"Range": asked})
        assert (answer.status_code, len(answer.content)) == (200, len(CONTENT)), asked
    assert code_of(client.get(f"/v1/jobs/{job_id}/artifacts/empty.bin", headers={"Range": "bytes=0-"}), 416)


def test_conditions(client: TestClient, job_id: str) -> None:
    path = f"/v1/jobs/{job_id}/artifacts/synthetic.safetensors"
    etag = client.get(path).headers["etag"]
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    for known in ("*", f'"other", {etag}', f"W/{etag}"):
        answer = client.get(path, headers={"If-None-Match": known, "Range": "bytes=0-1"})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert client.get(path, headers={"If-None-Match": f'"{etag[1:-2]}"'}).status_code == 200
    assert client.get(path, headers={"Range": "bytes=0-1", "If-Range": etag}).status_code == 206
    assert client.get(path, headers={"Range": "bytes=0-1", "If-Range": '"other"'}).status_code == 200


def test_heads_have_the_headers_alone(client: TestClient, job_id: str) -> None:
    for name, content in FILES.items():
        answer, whole = client.head(f"/v1/jobs/{job_id}/artifacts/{name}"), client.get(f"/v1/jobs/{job_id}/artifacts/{name}")
        assert (answer.status_code, answer.content) == (200, b"")
        for header in ("content-length", "etag", "repr-digest", "accept-ranges", "content-disposition", "cache-control"):
            assert answer.headers[header] == whole.headers[header]
        assert answer.headers["content-length"] == str(len(content))
    part = client.head(f"/v1/jobs/{job_id}/artifacts/synthetic.safetensors", headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.headers["content-length"]) == (206, "10")


def test_the_list_comes_in_pages(client: TestClient, job_id: str) -> None:
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 1}
    while True:
        page = client.get(f"/v1/jobs/{job_id}/artifacts", params=params).json()
        seen += [item["name"] for item in page["data"]]
        if not page["has_more"]:
            break
        params["cursor"] = page["next_cursor"]
    assert seen == sorted(FILES)
    assert code_of(client.get(f"/v1/jobs/{job_id}/artifacts?limit=0"), 422) == "invalid_request"


def test_unknown_artifacts(client: TestClient, services: Services, job_id: str) -> None:
    assert code_of(client.get(f"/v1/jobs/{job_id}/artifacts/none.bin"), 404) == "artifact_not_found"
    assert code_of(client.get(f"/v1/jobs/{job_id}/artifacts/..%2Fempty.bin"), 404)
    waiting = submit(client, make_ready(client, services))
    assert client.get(f"/v1/jobs/{waiting}/artifacts").json()["data"] == []
    assert code_of(client.get(f"/v1/jobs/{waiting}/artifacts/report.json"), 404) == "artifact_not_found"


def test_a_lost_object_is_a_problem_and_no_torn_answer(client: TestClient, services: Services, job_id: str) -> None:
    services.store.delete_prefix(f"jobs/{job_id}/")
    assert code_of(client.get(f"/v1/jobs/{job_id}/artifacts/synthetic.safetensors"), 503) == "storage_unavailable"


@pytest.mark.service
def test_a_public_object_store_takes_the_download(
    postgres_url: str, s3_settings: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    fields = {"database_url": postgres_url, "s3_public_endpoint_url": s3_settings["s3_endpoint_url"], **s3_settings}
    public = Settings.model_validate(settings.model_dump() | fields)
    with TestClient(create_app(public), headers=ADMIN, follow_redirects=False) as client:
        services: Services = client.app.state.services  # type: ignore[attr-defined]
        job_id = submit(client, make_ready(client, services))
        succeed(services, claim_job(services, job_id), tmp_path, FILES)
        answer = client.get(f"/v1/jobs/{job_id}/artifacts/synthetic.safetensors")
        assert answer.status_code == 307
        assert answer.headers["cache-control"] == "no-store"
        head = client.head(f"/v1/jobs/{job_id}/artifacts/synthetic.safetensors")
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(CONTENT)))
        known = client.get(
            f"/v1/jobs/{job_id}/artifacts/synthetic.safetensors", headers={"If-None-Match": head.headers["etag"]}
        )
        assert known.status_code == 304
        with urllib.request.urlopen(answer.headers["location"]) as download:
            assert download.read() == CONTENT
            assert download.headers["Content-Disposition"] == 'attachment; filename="synthetic.safetensors"'
