"""Objects that arrive in parts: what the service asks of a store for uploads that can be resumed.

An unfinished object is no object yet: nobody can read it, and only its store's name for it (``store_id``) leads to its parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

MIN_PART_BYTES = 5 << 20  # of S3, for every part but the last
MAX_PART_BYTES = 5 << 30  # of S3


@dataclass(frozen=True)
class UnfinishedObject:
    """An object whose parts are being collected.

    Attributes:
        key: under which it will appear.
        store_id: what its store calls it until then.
        part_sha256s: SHA-256 (hex) that each part has to have, where all of them are known from the start.
    """

    key: str
    store_id: str
    part_sha256s: tuple[str, ...] | None = None


@dataclass(frozen=True)
class StoredPart:
    """One part that is there.

    Attributes:
        number: counts from 1.
        size_bytes: its length.
        etag: another one after every change.
        stored_at: None in the answer to a put.
    """

    number: int
    size_bytes: int
    etag: str
    stored_at: datetime | None


@dataclass(frozen=True)
class PresignedPart:
    """Where a part can be put without a key of ours for an hour, and the headers that have to go with it."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AbandonedObject:
    """An unfinished object as its store remembers it."""

    key: str
    store_id: str
    started_at: datetime


class PartStore(Protocol):
    """Multipart uploads of a store. Every method may raise StorageError; ObjectMissingError where the upload is over."""

    def start(self, key: str, *, sha256: str, part_sha256s: Sequence[str] | None = None) -> UnfinishedObject:
        """Begin an object whose SHA-256 (hex) will be ``sha256``."""

    def put(self, unfinished: UnfinishedObject, number: int, path: Path, *, sha256: str) -> StoredPart:
        """Store a part, whole or not at all, in the place of one that is there. May move the file."""

    def presign(self, unfinished: UnfinishedObject, number: int, size_bytes: int) -> PresignedPart | None:
        """Return where the client can put the part itself; None where it has to go through the API."""

    def list(self, unfinished: UnfinishedObject) -> list[StoredPart]:
        """Return the parts that are there; some servers also list those that were replaced."""

    def complete(self, unfinished: UnfinishedObject, parts: Sequence[StoredPart]) -> str | None:
        """Make the object of ``parts``, in their order; return its SHA-256 (hex) if the store saw the bytes in doing so."""

    def abort(self, unfinished: UnfinishedObject) -> None:
        """Let go of all parts; what is gone already is no error."""

    def list_unfinished(self) -> Iterator[AbandonedObject]:
        """Yield every unfinished object of the store, whoever began it."""
