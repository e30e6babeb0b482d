"""What the service relies on in an object store, the same for a directory and for a real S3 server."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from app.settings import Settings
from app.storage import DamagedObjectError, ObjectMissingError, ObjectStore, StorageError
from app.storage_directory import DirectoryStore
from app.storage_s3 import S3Store


@pytest.fixture
def prefix() -> str:
    """A part of the key space that belongs to the test alone."""
    return f"tests/{uuid4().hex}"


def write(directory: Path, content: bytes) -> Path:
    path = directory / f"source-{uuid4().hex}"
    path.write_bytes(content)
    return path


def read(store: ObjectStore, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join(store.open_stream(key, start, end))


def test_what_was_put_comes_back(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000
    store.put_file(f"{prefix}/a", write(tmp_path, content))
    assert read(store, f"{prefix}/a") == content
    assert store.stat(f"{prefix}/a").size_bytes == len(content)
    store.fetch_file(f"{prefix}/a", tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == content


@pytest.mark.parametrize(("start", "end"), [(0, 4), (3, 10), (7, None), (9, 100), (5, 5)])
def test_ranges(store: ObjectStore, prefix: str, tmp_path: Path, start: int, end: int | None) -> None:
    store.put_file(f"{prefix}/a", write(tmp_path, b"0123456789"))
    assert read(store, f"{prefix}/a", start, end) == b"0123456789"[start:end]


def test_a_second_put_replaces(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    store.put_file(f"{prefix}/a", write(tmp_path, b"long content"))
    store.put_file(f"{prefix}/a", write(tmp_path, b"short"))
    assert read(store, f"{prefix}/a") == b"short"


def test_a_missing_object_is_told_apart(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissingError):
        store.open_stream(f"{prefix}/none")
    with pytest.raises(ObjectMissingError):
        store.stat(f"{prefix}/none")
    with pytest.raises(ObjectMissingError):
        store.fetch_file(f"{prefix}/none", tmp_path / "fetched")


def test_objects_are_listed_with_their_times(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    source = write(tmp_path, b"x")
    keys = {f"{prefix}/1/a", f"{prefix}/1/deep/b"}
    before = datetime.now(UTC) - timedelta(seconds=2)  # S3 tells whole seconds
    for key in (*keys, f"{prefix}/10/a"):
        store.put_file(key, source)
    listed = list(store.list_objects(f"{prefix}/1/"))
    assert {item.key for item in listed} == keys
    assert all(before < item.stored_at < datetime.now(UTC) + timedelta(seconds=2) for item in listed)
    assert list(store.list_objects(f"{prefix}/none/")) == []


def test_deleting(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    source = write(tmp_path, b"x")
    for key in ("jobs/1/a", "jobs/1/deep/b", "jobs/10/a"):
        store.put_file(f"{prefix}/{key}", source)
    store.delete(f"{prefix}/jobs/1/a")
    store.delete(f"{prefix}/jobs/1/a")
    store.delete_prefix(f"{prefix}/jobs/1/")
    store.delete_prefix(f"{prefix}/jobs/2/")
    with pytest.raises(ObjectMissingError):
        store.stat(f"{prefix}/jobs/1/deep/b")
    assert store.stat(f"{prefix}/jobs/10/a").size_bytes == 1, "a neighbour whose id begins with the same digits"


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "a/.hidden", "a\\b", "a b", "ä", "a\n"])
def test_keys_of_another_form_are_refused(store: ObjectStore, tmp_path: Path, key: str) -> None:
    source = write(tmp_path, b"x")
    for call in (lambda: store.put_file(key, source), lambda: store.stat(key), lambda: store.delete(key)):
        with pytest.raises(ValueError, match="is no object key"):
            call()


def test_a_prefix_ends_with_a_slash(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(ValueError, match="does not end with '/'"):
        store.delete_prefix(prefix)


def test_a_store_that_works_passes_its_check(store: ObjectStore) -> None:
    store.check()


def test_a_file_that_is_given_away_may_be_moved(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    source = write(tmp_path, b"given away")
    store.put_file(f"{prefix}/a", source, may_move=True)
    assert read(store, f"{prefix}/a") == b"given away"
    source.unlink(missing_ok=True)
    assert read(store, f"{prefix}/a") == b"given away"


def test_a_failed_put_leaves_nothing_in_a_directory(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "objects")
    (tmp_path / "objects" / "jobs").write_bytes(b"a file where a directory has to be")
    with pytest.raises(StorageError):
        store.put_file("jobs/1/a", write(tmp_path, b"x"))
    assert list((tmp_path / "objects" / ".incoming").iterdir()) == []


@pytest.mark.service
class TestS3:
    @pytest.fixture
    def settings(self, s3_settings: dict[str, str]) -> Settings:
        return Settings.model_validate(s3_settings)

    def test_the_server_refuses_bytes_that_do_not_match_their_digest(
        self, settings: Settings, prefix: str, tmp_path: Path
    ) -> None:
        store = S3Store(settings)
        with pytest.raises(StorageError):
            store.put_file(f"{prefix}/a", write(tmp_path, b"abc"), sha256=hashlib.sha256(b"abd").hexdigest())
        with pytest.raises(ObjectMissingError):
            store.stat(f"{prefix}/a")
        store.close()

    def test_a_large_file_goes_up_in_parts(self, settings: Settings, prefix: str, tmp_path: Path) -> None:
        store = S3Store(settings, single_put_bytes=1 << 20)
        content = bytes(range(251)) * 9000
        store.put_file(f"{prefix}/a", write(tmp_path, content))
        assert store.stat(f"{prefix}/a").sha256 == hashlib.sha256(content).hexdigest()
        assert read(store, f"{prefix}/a") == content
        store.close()

    def test_a_reader_compares_the_digest(self, settings: Settings, prefix: str, tmp_path: Path) -> None:
        store = S3Store(settings, single_put_bytes=1)  # in parts the server checks each part, not the metadata
        store.put_file(f"{prefix}/a", write(tmp_path, b"abc"), sha256=hashlib.sha256(b"abd").hexdigest())
        with pytest.raises(DamagedObjectError, match="came back"):
            store.fetch_file(f"{prefix}/a", tmp_path / "fetched")
        store.close()

    def test_only_a_public_address_is_signed(self, settings: Settings, prefix: str, tmp_path: Path) -> None:
        private = S3Store(settings)
        private.put_file(f"{prefix}/a", write(tmp_path, b"abc"))
        assert private.presign_get(f"{prefix}/a", file_name="a.txt", media_type="text/plain") is None
        public = S3Store(settings.model_copy(update={"s3_public_endpoint_url": settings.s3_endpoint_url}))
        url = public.presign_get(f"{prefix}/a", file_name="a.txt", media_type="text/plain")
        assert url is not None
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == b"abc"
            assert answer.headers["Content-Disposition"] == 'attachment; filename="a.txt"'
            assert answer.headers["Content-Type"] == "text/plain"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(url.replace("X-Amz-Signature=", "X-Amz-Signature=0"))
        private.close()
        public.close()

    def test_a_server_that_is_away_is_a_storage_error(self, settings: Settings, tmp_path: Path) -> None:
        store = S3Store(settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"}))
        with pytest.raises(StorageError, match="reaching bucket"):
            store.check()
        store.close()
