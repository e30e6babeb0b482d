"""Objects as files of a local directory. An object appears by a rename, after its bytes are on the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app.abandoned_files import remove_abandoned_files
from app.storage import CHUNK_BYTES, ObjectMissingError, StorageError, StoredObject, check_key, check_prefix

INCOMING = ".incoming"  # no key begins with a dot, so no object can be in here


class DirectoryStore:
    """Implements ``app.storage.ObjectStore``."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        with _translated("making the directory of objects"):
            (self._root / INCOMING).mkdir(parents=True, exist_ok=True)
            remove_abandoned_files(self._root / INCOMING)

    def put_file(self, key: str, path: Path, *, sha256: str | None = None) -> None:  # noqa: ARG002  a file keeps no digest
        target = self._path_of(key)
        with _translated(f"storing {key}"), path.open("rb") as source:
            handle, incoming = tempfile.mkstemp(dir=self._root / INCOMING)
            try:
                with os.fdopen(handle, "wb") as copy:
                    shutil.copyfileobj(source, copy, CHUNK_BYTES)
                    copy.flush()
                    os.fsync(copy.fileno())
                _move_into_place(Path(incoming), target)
            except BaseException:
                Path(incoming).unlink(missing_ok=True)
                raise
            _sync_directory(target.parent)

    def open_stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with _translated(f"reading {key}"):
            source = self._path_of(key).open("rb")
        source.seek(start)
        return _read_range(source, None if end is None else end - start)

    def fetch_file(self, key: str, path: Path) -> None:
        with _translated(f"reading {key}"):
            shutil.copyfile(self._path_of(key), path)

    def stat(self, key: str) -> StoredObject:
        with _translated(f"looking at {key}"):
            return StoredObject(self._path_of(key).stat().st_size, None)

    def delete(self, key: str) -> None:
        with _translated(f"deleting {key}"):
            self._path_of(key).unlink(missing_ok=True)

    def delete_prefix(self, prefix: str) -> None:
        directory = self._path_of(check_prefix(prefix)[:-1])
        with _translated(f"deleting {prefix}"):
            if directory.is_dir():
                shutil.rmtree(directory)

    def presign_get(self, key: str, *, file_name: str, media_type: str) -> str | None:  # noqa: ARG002
        return None

    def check(self) -> None:
        with _translated("writing to the directory of objects"), tempfile.TemporaryFile(dir=self._root / INCOMING) as probe:
            probe.write(b"\0")

    def close(self) -> None:
        """Nothing is held open."""

    def _path_of(self, key: str) -> Path:
        return self._root / check_key(key)


def _move_into_place(incoming: Path, target: Path) -> None:
    """Rename, again if somebody removed the emptied parent in between."""
    for attempt in (1, 2, 3):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            incoming.replace(target)
            return
        except FileNotFoundError:
            if attempt == 3:
                raise


def _sync_directory(directory: Path) -> None:
    """Make the rename itself durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_range(source: BinaryIO, length: int | None) -> Iterator[bytes]:
    with source:
        while length is None or length > 0:
            chunk = source.read(CHUNK_BYTES if length is None else min(CHUNK_BYTES, length))
            if not chunk:
                return
            if length is not None:
                length -= len(chunk)
            yield chunk


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ObjectMissingError(f"{doing}: there is no such object") from error
    except OSError as error:
        raise StorageError(f"{doing}: {error.strerror or error}") from error
