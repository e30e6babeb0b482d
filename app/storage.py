"""Object storage: one small protocol, a local directory behind it in embedded mode, an S3 bucket otherwise.

Keys are made from ids by this service, never from user text; a key of any other form is a defect and refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from app.settings import Settings
from app.storage_parts import PartStore

OBJECTS_DIRECTORY = "objects"  # inside DATA_DIR
CHUNK_BYTES = 1 << 20
PRESIGNED_FOR_S = 3600
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


class StorageError(Exception):
    """The object store cannot be reached or refused to work; the same call may succeed later."""


class ObjectMissingError(StorageError):
    """There is no object under this key."""


class DamagedObjectError(StorageError):
    """The bytes that came back are not the bytes that were stored."""


@dataclass(frozen=True)
class StoredObject:
    """What is known of an object: its length in bytes and, where the store keeps it, the SHA-256 in hex."""

    size_bytes: int
    sha256: str | None


@dataclass(frozen=True)
class ListedObject:
    """An object of a list, and when it was stored, by the store's clock."""

    key: str
    stored_at: datetime


class ObjectStore(Protocol):
    """What the service asks of a store. Every method may raise StorageError."""

    @property
    def parts(self) -> PartStore:
        """Objects that arrive in parts."""

    def put_file(self, key: str, path: Path, *, sha256: str | None = None, may_move: bool = False) -> None:
        """Store the file; readers see the whole object or none.

        Args:
            key: name of the object.
            path: the file.
            sha256: its SHA-256 in hex; saves a pass over the bytes.
            may_move: whether the caller needs the file no more, so that it need not be copied.
        """

    def open_stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from ``start`` up to, not including, ``end``; a missing object is an error of this call."""

    def fetch_file(self, key: str, path: Path) -> None:
        """Write the object to ``path``."""

    def stat(self, key: str) -> StoredObject:
        """Look at an object."""

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is deleted already."""

    def delete_prefix(self, prefix: str) -> None:
        """Delete every object under ``prefix``, which ends with ``/``."""

    def list_objects(self, prefix: str) -> Iterator[ListedObject]:
        """Yield every object under ``prefix``, which ends with ``/``; what comes or goes meanwhile may be among them."""

    def presign_get(self, key: str, *, file_name: str, media_type: str) -> str | None:
        """Return a URL that downloads the object without a key of ours for an hour; None where there is none to give."""

    def check(self) -> None:
        """Raise StorageError unless the store can be used now."""

    def close(self) -> None:
        """Let go of connections."""


def make_object_store(settings: Settings, *, is_hurried: bool = False) -> ObjectStore:
    """Return the store that the settings describe; a hurried one soon gives up a server that says nothing."""
    if settings.s3_bucket is None:
        from app.storage_directory import DirectoryStore  # noqa: PLC0415

        return DirectoryStore(settings.resolved_data_dir / OBJECTS_DIRECTORY)
    from app.storage_s3 import S3Store  # noqa: PLC0415  boto3 takes a second to import; embedded mode starts without it

    return S3Store(settings, is_hurried=is_hurried)


def check_key(key: str) -> str:
    """Return ``key`` if it is one this service makes."""
    if len(key) > 500 or not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no object key: letters, digits and _.- between single slashes, no part begins with '.'")
    return key


def check_prefix(prefix: str) -> str:
    """Return ``prefix`` if it is a key with a slash at its end."""
    if not prefix.endswith("/"):
        raise ValueError(f"{prefix!r} does not end with '/'; other objects may begin with the same letters")
    check_key(prefix[:-1])
    return prefix
