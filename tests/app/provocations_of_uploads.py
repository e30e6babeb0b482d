"""Ways to provoke the error codes of data sets and uploads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from app.uploads.models import Upload, UploadStatus
from app.uploads.service import MAX_UNDER_WAY, unfinished_object
from tests.app.driving import ADMIN, CONTENT, declare, make_invalid, make_ready, running_in_thread, submit, upload
from tests.app.provocations import TEXT, Answer, World, distillation, provokes

PLAN = {"size_bytes": 10, "sha256": "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"}  # of 0123456789


def begun(world: World) -> str:
    dataset_id = declare(world.client, **TEXT)
    answer = world.client.post(f"/v1/datasets/{dataset_id}/uploads", json=PLAN)
    assert answer.status_code == 201, answer.text
    return f"/v1/datasets/{dataset_id}/uploads/{answer.json()['id']}"


def _change_upload(world: World, path: str, **values: Any) -> None:
    with world.services.sessions.begin() as session:
        row = session.get_one(Upload, path.rpartition("/")[2])
        for name, value in values.items():
            setattr(row, name, value)


def put(world: World, content: bytes = CONTENT, **headers: str) -> Answer:
    dataset_id = declare(world.client)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return world.client.put(f"/v1/datasets/{dataset_id}/content", content=content, headers=named)


@provokes("dataset_not_found")
def _(world: World) -> Answer:
    return world.client.get("/v1/datasets/ds_0")


@provokes("upload_not_found")
def _(world: World) -> Answer:
    return world.client.get(f"/v1/datasets/{declare(world.client)}/uploads/upl_0")


@provokes("upload_stalled")
def _(world: World) -> Answer:
    released = threading.Event()

    def content() -> Iterator[bytes]:
        yield b"only the beginning"
        released.wait(10)

    with (
        running_in_thread(world.fresh_settings(upload_idle_s=0.2)) as server,
        httpx.Client(base_url=server.url, headers=ADMIN) as client,
    ):
        path = f"/v1/datasets/{declare(client)}/content"
        threading.Timer(1.0, released.set).start()
        return client.put(path, content=content())


@provokes("dataset_already_uploaded")
def _(world: World) -> Answer:
    return world.client.put(f"/v1/datasets/{upload(world.client)}/content", content=CONTENT)


@provokes("upload_not_open")
def _(world: World) -> Answer:
    path = begun(world)
    world.client.delete(path)
    return world.client.put(f"{path}/parts/1", content=b"0123456789")


@provokes("upload_completing")
def _(world: World) -> Answer:
    path, later = begun(world), datetime.now(UTC) + timedelta(minutes=1)
    _change_upload(world, path, status=UploadStatus.COMPLETING, claim="somebody", claimed_until=later)
    return world.client.delete(path)


@provokes("upload_incomplete")
def _(world: World) -> Answer:
    return world.client.post(f"{begun(world)}/complete")


@provokes("upload_parts_lost")
def _(world: World) -> Answer:
    path = begun(world)
    with world.services.reading_sessions() as session:
        row = session.get_one(Upload, path.rpartition("/")[2])
    world.services.store.parts.abort(unfinished_object(row))
    return world.client.post(f"{path}/complete")


@provokes("too_many_uploads")
def _(world: World) -> Answer:
    path = f"/v1/datasets/{declare(world.client)}/uploads"
    return [world.client.post(path, json=PLAN) for _ in range(MAX_UNDER_WAY + 1)][-1]


@provokes("dataset_in_use")
def _(world: World) -> Answer:
    return world.client.delete(f"/v1/datasets/{upload(world.client)}")


@provokes("dataset_not_ready")
def _(world: World) -> Answer:
    return world.client.get(f"/v1/datasets/{declare(world.client)}/report")


@provokes("dataset_deleted")
def _(world: World) -> Answer:
    dataset_id = make_ready(world.client, world.services)
    job_id = submit(world.client, dataset_id)
    world.client.post(f"/v1/jobs/{job_id}/cancel")
    world.client.delete(f"/v1/datasets/{dataset_id}")
    return world.client.post(f"/v1/jobs/{job_id}/retry")


@provokes("upload_too_large")
def _(world: World) -> Answer:
    return put(world, content_length=str(10**15))


@provokes("dataset_invalid")
def _(world: World) -> Answer:
    return world.client.post("/v1/jobs", json=distillation(make_invalid(world.client, world.services)))


@provokes("content_encoding_mismatch")
def _(world: World) -> Answer:
    return put(world, content_encoding="gzip")


@provokes("part_size_mismatch")
def _(world: World) -> Answer:
    return world.client.put(f"{begun(world)}/parts/1", content=b"too short")


@provokes("upload_digest_mismatch")
def _(world: World) -> Answer:
    path = begun(world)
    world.client.put(f"{path}/parts/1", content=b"9876543210")
    return world.client.post(f"{path}/complete")


@provokes("empty_upload")
def _(world: World) -> Answer:
    return put(world, b"")


@provokes("invalid_content_digest")
def _(world: World) -> Answer:
    return put(world, content_digest="md5=:abc:")


@provokes("content_digest_mismatch")
def _(world: World) -> Answer:
    return put(world, content_digest=f"sha-256=:{'A' * 43}=:")


@provokes("too_many_completions")
def _(world: World) -> Answer:
    with world.fresh() as alone:
        path = begun(alone)
        while alone.services.completion_slots.acquire(blocking=False):
            pass
        return alone.client.post(f"{path}/complete")


@provokes("storage_unavailable")
def _(world: World) -> Answer:
    with world.fresh() as broken:
        (broken.services.settings.resolved_data_dir / "objects" / "datasets").write_bytes(b"a file where a directory has to be")
        return put(broken)
