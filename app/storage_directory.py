"""Objects as files of a local directory. An object appears by a rename, after its bytes are on the disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from app.abandoned_files import remove_abandoned_files
from app.storage import CHUNK_BYTES, ListedObject, StoredObject, check_key, check_prefix
from app.storage_directory_parts import DirectoryParts
from app.storage_files import incoming_file, move_into_place, translated

# No key begins with a dot, so no object can be in here.
INCOMING = ".incoming"
UNFINISHED = ".unfinished"


class DirectoryStore:
    """Implements ``app.storage.ObjectStore``."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._incoming = self._root / INCOMING
        with translated("making the directory of objects"):
            for directory in (self._incoming, self._root / UNFINISHED):
                directory.mkdir(parents=True, exist_ok=True)
            remove_abandoned_files(self._incoming)
        self.parts = DirectoryParts(self._root, self._root / UNFINISHED, self._incoming)

    def put_file(self, key: str, path: Path, *, sha256: str | None = None, may_move: bool = False) -> None:  # noqa: ARG002
        target = self._path_of(key)
        with translated(f"storing {key}"), incoming_file(path, self._incoming, may_move=may_move) as incoming:
            move_into_place(incoming, target)

    def open_stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with translated(f"reading {key}"):
            source = self._path_of(key).open("rb")
        source.seek(start)
        return _read_range(source, None if end is None else end - start)

    def fetch_file(self, key: str, path: Path) -> None:
        with translated(f"reading {key}"):
            shutil.copyfile(self._path_of(key), path)

    def stat(self, key: str) -> StoredObject:
        with translated(f"looking at {key}"):
            return StoredObject(self._path_of(key).stat().st_size, None)

    def delete(self, key: str) -> None:
        with translated(f"deleting {key}"):
            self._path_of(key).unlink(missing_ok=True)

    def delete_prefix(self, prefix: str) -> None:
        directory = self._path_of(check_prefix(prefix)[:-1])
        with translated(f"deleting {prefix}"):
            if directory.is_dir():
                shutil.rmtree(directory)

    def list_objects(self, prefix: str) -> Iterator[ListedObject]:
        directory = self._path_of(check_prefix(prefix)[:-1])
        with translated(f"listing {prefix}"):
            for path in directory.rglob("*"):
                with suppress(FileNotFoundError):  # deleted meanwhile
                    if not path.is_file():
                        continue
                    stored_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                    yield ListedObject(path.relative_to(self._root).as_posix(), stored_at)

    def presign_get(self, key: str, *, file_name: str, media_type: str) -> str | None:  # noqa: ARG002
        return None

    def check(self) -> None:
        with translated("writing to the directory of objects"), tempfile.TemporaryFile(dir=self._incoming) as probe:
            probe.write(b"\0")

    def close(self) -> None:
        """Nothing is held open."""

    def _path_of(self, key: str) -> Path:
        return self._root / check_key(key)


def _read_range(source: BinaryIO, length: int | None) -> Iterator[bytes]:
    with source:
        while length is None or length > 0:
            chunk = source.read(CHUNK_BYTES if length is None else min(CHUNK_BYTES, length))
            if not chunk:
                return
            if length is not None:
                length -= len(chunk)
            yield chunk
