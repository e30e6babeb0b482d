"""Parts of unfinished objects as files of a local directory: a folder for each object, a file for each part."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from app.storage import CHUNK_BYTES, ObjectMissingError, check_key
from app.storage_files import incoming_file, move_into_place, sync, translated
from app.storage_parts import AbandonedObject, PresignedPart, StoredPart, UnfinishedObject

KEY_FILE = "key"
_STORE_ID = re.compile(r"[0-9a-f]{32}")


class DirectoryParts:
    """Implements ``app.storage_parts.PartStore``.

    Args:
        root: where finished objects are.
        unfinished: where the parts of others are, on the same file system.
        incoming: where a file is written before it gets its name, on the same file system.
    """

    def __init__(self, root: Path, unfinished: Path, incoming: Path) -> None:
        self._root, self._unfinished, self._incoming = root, unfinished, incoming

    def start(self, key: str, *, sha256: str, part_sha256s: Sequence[str] | None = None) -> UnfinishedObject:  # noqa: ARG002
        store_id = uuid4().hex
        folder = self._unfinished / store_id
        with translated(f"beginning {check_key(key)}"):
            folder.mkdir(parents=True)
            (folder / KEY_FILE).write_text(key, encoding="ascii")
        return UnfinishedObject(key, store_id, None if part_sha256s is None else tuple(part_sha256s))

    def put(self, unfinished: UnfinishedObject, number: int, path: Path, *, sha256: str) -> StoredPart:  # noqa: ARG002
        target = self._folder_of(unfinished) / str(number)
        with (
            translated(f"storing part {number} of {unfinished.key}"),
            incoming_file(path, self._incoming, may_move=True) as incoming,
        ):
            stored = _describe(incoming, number)  # before it can be replaced by another
            incoming.replace(target)  # makes no folder: after an abort there is none
            sync(target.parent)
            return stored

    def presign(self, unfinished: UnfinishedObject, number: int, size_bytes: int) -> PresignedPart | None:  # noqa: ARG002
        return None

    def list(self, unfinished: UnfinishedObject) -> list[StoredPart]:
        folder = self._folder_of(unfinished)
        with translated(f"listing parts of {unfinished.key}"):
            found = [_describe(path, int(path.name)) for path in folder.iterdir() if path.name.isdigit()]
            return sorted(found, key=lambda part: part.number)

    def complete(self, unfinished: UnfinishedObject, parts: Sequence[StoredPart]) -> str | None:
        folder, target = self._folder_of(unfinished), self._root / check_key(unfinished.key)
        with translated(f"completing {unfinished.key}"):
            if not folder.is_dir():
                raise ObjectMissingError(f"completing {unfinished.key}: it was completed or aborted before")
            digest = hashlib.sha256()
            incoming = self._incoming / uuid4().hex
            try:
                with incoming.open("xb") as whole:
                    for chunk in _read_chunks(folder / str(part.number) for part in parts):
                        digest.update(chunk)
                        whole.write(chunk)
                sync(incoming)
                move_into_place(incoming, target)
            finally:
                incoming.unlink(missing_ok=True)
        return digest.hexdigest()

    def abort(self, unfinished: UnfinishedObject) -> None:
        folder = self._folder_of(unfinished)
        # Under another name first: a part that comes in meanwhile finds no folder, and cannot keep this one from going.
        doomed = folder.with_name(f"{folder.name}.aborted")
        with translated(f"aborting {unfinished.key}"):
            with contextlib.suppress(FileNotFoundError):
                folder.rename(doomed)
            # An abort before this one may have got no further than the rename, and another may be at work.
            with contextlib.suppress(FileNotFoundError):
                for path in doomed.iterdir():
                    path.unlink(missing_ok=True)
                doomed.rmdir()

    def list_unfinished(self) -> Iterator[AbandonedObject]:
        with translated("listing unfinished objects"):
            found = [_look(folder) for folder in self._unfinished.iterdir() if _STORE_ID.fullmatch(folder.name)]
        yield from (item for item in found if item is not None)

    def _folder_of(self, unfinished: UnfinishedObject) -> Path:
        assert _STORE_ID.fullmatch(unfinished.store_id), f"{unfinished.store_id!r} is not of this store"
        return self._unfinished / unfinished.store_id


def _look(folder: Path) -> AbandonedObject | None:
    key_file = folder / KEY_FILE
    try:
        began_at = datetime.fromtimestamp(key_file.stat().st_mtime, UTC)
        return AbandonedObject(key_file.read_text(encoding="ascii"), folder.name, began_at)
    except FileNotFoundError:  # aborted meanwhile
        return None


def _describe(path: Path, number: int) -> StoredPart:
    found = path.stat()
    # A part is replaced by a rename, so that another file is another inode or at least another time.
    etag = f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"
    return StoredPart(number, found.st_size, etag, datetime.fromtimestamp(found.st_mtime, UTC))


def _read_chunks(paths: Iterable[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as part:
            while chunk := part.read(CHUNK_BYTES):
                yield chunk
