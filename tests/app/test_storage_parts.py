"""Objects that arrive in parts, the same for a directory and for a real S3 server."""

from __future__ import annotations

import hashlib
import resource
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from app.settings import Settings
from app.storage import ObjectMissingError, ObjectStore, StorageError, make_object_store
from app.storage_parts import MIN_PART_BYTES, StoredPart, UnfinishedObject
from app.storage_s3 import S3Store

FIRST, LAST = b"a" * MIN_PART_BYTES, b"the last part may be short"
WHOLE_SHA256 = hashlib.sha256(FIRST + LAST).hexdigest()


@pytest.fixture
def public(s3_settings: dict[str, str]) -> Iterator[ObjectStore]:
    """An S3 server that clients can reach."""
    built = S3Store(Settings.model_validate({**s3_settings, "s3_public_endpoint_url": s3_settings["s3_endpoint_url"]}))
    yield built
    built.close()


@pytest.fixture
def key() -> str:
    return f"tests/{uuid4().hex}/content"


def put(store: ObjectStore, unfinished: UnfinishedObject, number: int, content: bytes, directory: Path) -> StoredPart:
    path = directory / uuid4().hex
    path.write_bytes(content)
    return store.parts.put(unfinished, number, path, sha256=hashlib.sha256(content).hexdigest())


def sha256s(*contents: bytes) -> list[str]:
    return [hashlib.sha256(content).hexdigest() for content in contents]


@pytest.mark.parametrize("declared", [None, sha256s(FIRST, LAST)], ids=["undeclared", "declared"])
def test_parts_become_the_object(store: ObjectStore, key: str, tmp_path: Path, declared: list[str] | None) -> None:
    unfinished = store.parts.start(key, sha256=WHOLE_SHA256, part_sha256s=declared)
    put(store, unfinished, 2, LAST, tmp_path)
    put(store, unfinished, 1, FIRST, tmp_path)
    with pytest.raises(ObjectMissingError):
        store.stat(key)
    listed = store.parts.list(unfinished)
    assert [(part.number, part.size_bytes) for part in listed] == [(1, len(FIRST)), (2, len(LAST))]
    assert store.parts.complete(unfinished, listed) in {None, WHOLE_SHA256}
    assert b"".join(store.open_stream(key)) == FIRST + LAST
    assert store.stat(key).sha256 in {None, WHOLE_SHA256}


def test_the_part_that_was_put_last_can_be_told_and_chosen(store: ObjectStore, key: str, tmp_path: Path) -> None:
    unfinished = store.parts.start(key, sha256=WHOLE_SHA256)
    for content in (b"z" * MIN_PART_BYTES, FIRST):
        newest = put(store, unfinished, 1, content, tmp_path)
    assert newest.etag in {part.etag for part in store.parts.list(unfinished) if part.number == 1}
    last = put(store, unfinished, 2, LAST, tmp_path)
    store.parts.complete(unfinished, [newest, last])
    assert b"".join(store.open_stream(key)) == FIRST + LAST


def test_after_an_abort_there_is_nothing_and_nothing_comes(store: ObjectStore, key: str, tmp_path: Path) -> None:
    unfinished = store.parts.start(key, sha256=WHOLE_SHA256)
    part = put(store, unfinished, 1, FIRST, tmp_path)
    store.parts.abort(unfinished)
    store.parts.abort(unfinished)
    for call in (
        lambda: put(store, unfinished, 1, FIRST, tmp_path),
        lambda: store.parts.list(unfinished),
        lambda: store.parts.complete(unfinished, [part]),
        lambda: store.stat(key),
    ):
        with pytest.raises(ObjectMissingError):
            call()
    assert unfinished.store_id not in {item.store_id for item in store.parts.list_unfinished()}


def test_what_is_unfinished_is_listed_with_its_time(store: ObjectStore, key: str) -> None:
    unfinished = store.parts.start(key, sha256=WHOLE_SHA256)
    (found,) = [item for item in store.parts.list_unfinished() if item.key == key]
    assert found.store_id == unfinished.store_id
    assert abs(datetime.now(UTC) - found.started_at) < timedelta(minutes=1)
    store.parts.abort(unfinished)


def test_an_abort_beside_puts_leaves_nothing(tmp_path: Path, key: str) -> None:
    store = make_object_store(Settings(data_dir=tmp_path / "data"))
    unfinished = store.parts.start(key, sha256=WHOLE_SHA256)
    ended = threading.Event()

    def put_until_refused() -> None:
        give_up_at = time.monotonic() + 20
        while time.monotonic() < give_up_at:
            try:
                put(store, unfinished, 1, b"again and again", tmp_path)
            except ObjectMissingError:
                ended.set()
                return

    putting = threading.Thread(target=put_until_refused)
    putting.start()
    while not store.parts.list(unfinished):
        time.sleep(0.01)
    store.parts.abort(unfinished)
    putting.join()
    assert ended.is_set()
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


def test_an_abort_that_got_no_further_than_the_rename_is_taken_up(tmp_path: Path, key: str) -> None:
    store = make_object_store(Settings(data_dir=tmp_path / "data"))
    unfinished = store.parts.start(key, sha256=WHOLE_SHA256)
    put(store, unfinished, 1, LAST, tmp_path)
    (folder,) = (tmp_path / "data").rglob(unfinished.store_id)
    folder.rename(folder.with_name(f"{folder.name}.aborted"))
    assert list(store.parts.list_unfinished()) == []
    store.parts.abort(unfinished)
    assert list(folder.parent.iterdir()) == []


def test_several_aborts_at_once_all_succeed(tmp_path: Path, key: str) -> None:
    store = make_object_store(Settings(data_dir=tmp_path / "data"))
    barrier = threading.Barrier(4)

    def abort(unfinished: UnfinishedObject) -> None:
        barrier.wait()
        store.parts.abort(unfinished)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(50):
            unfinished = store.parts.start(key, sha256=WHOLE_SHA256)
            put(store, unfinished, 1, LAST, tmp_path)
            list(pool.map(abort, [unfinished] * 4))
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


def test_a_disk_that_is_full_in_the_last_bytes_leaves_no_shorter_object(tmp_path: Path, key: str) -> None:
    store = make_object_store(Settings(data_dir=tmp_path / "data"))
    unfinished = store.parts.start(key, sha256=WHOLE_SHA256)
    parts = [put(store, unfinished, 1, FIRST, tmp_path), put(store, unfinished, 2, LAST, tmp_path)]
    unlimited, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(FIRST) + 1, hard))  # the last write is then cut short, as on a full disk
    try:
        with pytest.raises(StorageError):
            store.parts.complete(unfinished, parts)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, hard))
    with pytest.raises(ObjectMissingError):
        store.stat(key)
    assert store.parts.complete(unfinished, parts) == WHOLE_SHA256
    assert b"".join(store.open_stream(key)) == FIRST + LAST


@pytest.mark.service
def test_the_server_refuses_a_part_that_is_not_the_declared_one(public: ObjectStore, key: str, tmp_path: Path) -> None:
    unfinished = public.parts.start(key, sha256=WHOLE_SHA256, part_sha256s=sha256s(FIRST, LAST))
    path = tmp_path / "part"
    path.write_bytes(b"other bytes")
    with pytest.raises(StorageError, match="BadDigest"):
        public.parts.put(unfinished, 2, path, sha256=sha256s(LAST)[0])
    assert public.parts.list(unfinished) == []
    public.parts.abort(unfinished)


@pytest.mark.service
def test_a_presigned_url_takes_the_declared_bytes_and_no_others(public: ObjectStore, key: str) -> None:
    unfinished = public.parts.start(key, sha256=WHOLE_SHA256, part_sha256s=sha256s(FIRST, LAST))
    presigned = public.parts.presign(unfinished, 2, len(LAST))
    assert presigned is not None
    other = b"x" * len(LAST)
    other_digest = {"x-amz-checksum-sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}
    with httpx.Client() as client:
        assert client.put(presigned.url, content=other, headers=presigned.headers).status_code == 400
        assert client.put(presigned.url, content=other, headers=other_digest).status_code == 403
        assert client.put(presigned.url, content=other).status_code == 403
        assert client.put(presigned.url, content=LAST + b"more", headers=presigned.headers).status_code == 403
        assert public.parts.list(unfinished) == []
        assert client.put(presigned.url, content=LAST, headers=presigned.headers).status_code == 200
    (part,) = public.parts.list(unfinished)
    assert (part.number, part.size_bytes) == (2, len(LAST))
    public.parts.abort(unfinished)


@pytest.mark.service
def test_without_declared_digests_a_presigned_url_still_binds_the_length(public: ObjectStore, key: str) -> None:
    unfinished = public.parts.start(key, sha256=WHOLE_SHA256)
    presigned = public.parts.presign(unfinished, 1, len(LAST))
    assert presigned is not None
    with httpx.Client() as client:
        assert client.put(presigned.url, content=LAST + b"more", headers=presigned.headers).status_code == 403
        assert client.put(presigned.url, content=b"x" * len(LAST), headers=presigned.headers).status_code == 200
    public.parts.abort(unfinished)


def test_only_a_public_server_is_signed(store: ObjectStore, key: str) -> None:
    unfinished = store.parts.start(key, sha256=WHOLE_SHA256)
    assert store.parts.presign(unfinished, 1, 10) is None
    store.parts.abort(unfinished)
