"""A file that goes up in parts: how it is cut, and what of it still has to be sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farzi_client.models import MissingPart, Upload
from farzi_client.uploading import read_chunks

DEFAULT_PART_BYTES = 16 << 20
MAX_PARTS = 1000
NUM_AT_ONCE = 4
# A presigned URL works for an hour; with fresh ones the rest goes on. Without any progress it is no matter of time.
MAX_IDLE_ROUNDS = 3


@dataclass(frozen=True)
class FilePlan:
    """A file and the digests of its parts, all from one pass over it."""

    path: Path
    size_bytes: int
    sha256: str
    part_size_bytes: int
    part_sha256s: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, part_size_bytes: int | None = None) -> FilePlan:
        """Read the file; parts are as large as they have to be, or as a begun upload has them."""
        size_bytes = path.stat().st_size
        part_bytes = part_size_bytes or max(DEFAULT_PART_BYTES, -(-size_bytes // MAX_PARTS))
        whole, digests = hashlib.sha256(), []
        for offset in range(0, size_bytes, part_bytes):
            digest = hashlib.sha256()
            for chunk in read_chunks(path, min(part_bytes, size_bytes - offset), offset):
                whole.update(chunk)
                digest.update(chunk)
            digests.append(digest.hexdigest())
        return cls(path, size_bytes, whole.hexdigest(), part_bytes, tuple(digests))

    def body(self) -> dict[str, Any]:
        """Return what begins an upload of this file."""
        return {
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "part_size_bytes": self.part_size_bytes,
            "part_sha256s": list(self.part_sha256s),
        }

    def parts_to_send(self, upload: Upload, path: str) -> list[MissingPart]:
        """Return what is missing of ``upload`` at ``path``, and what is there with other bytes or with bytes nobody knows."""
        wrong = [part.number for part in upload.received_parts if part.sha256 != self.part_sha256s[part.number - 1]]
        return [*upload.missing_parts, *(self._through_api(number, f"{path}/{upload.id}") for number in wrong)]

    def _through_api(self, number: int, path: str) -> MissingPart:
        offset = (number - 1) * self.part_size_bytes
        return MissingPart(
            number=number,
            offset_bytes=offset,
            size_bytes=min(self.part_size_bytes, self.size_bytes - offset),
            url=f"{path}/parts/{number}",
        )
