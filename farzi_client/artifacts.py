"""What may be asked of hard sequences; and a file on its way down, which has its name only when all of it was verified."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlencode

from farzi_client.errors import IntegrityError, UnexpectedAnswer
from farzi_client.models import Artifact

# Called with the artifact, the bytes of it that are here and the bytes of it there are.
ArtifactProgress = Callable[[Artifact, int, int], None]


SequenceFormat = Literal["jsonl", "parquet", "inter", "text"]
ENDINGS: dict[SequenceFormat, str] = {"jsonl": ".jsonl", "parquet": ".parquet", "inter": ".inter", "text": ".txt"}
READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Drawing:
    """What is asked of hard sequences; None: as it was published."""

    format: SequenceFormat | None = None
    draws: int | None = None
    seed: int | None = None

    @property
    def query(self) -> str:
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return f"?{urlencode(given)}" if given else ""

    def rename(self, name: str) -> str:
        """Return what the file is called here: it must not be taken for the published one."""
        path = PurePosixPath(name)
        draws = "" if self.draws is None else f"-{self.draws}-draws"
        seed = "" if self.seed is None else f"-seed-{self.seed}"
        return f"{path.stem}{draws}{seed}{path.suffix if self.format is None else ENDINGS[self.format]}"

    def published_name(self, name: str) -> str:
        """Return which published file the answer may be, where nothing had to be drawn for it."""
        return name if self.format is None else PurePosixPath(name).stem + ENDINGS[self.format]


AS_PUBLISHED = Drawing()


class PartialFile:
    """What has arrived of a file. It lies beside its target under a hidden name, and is gone on with after a broken connection.

    Two downloads of the same file into the same folder do not meet: what an earlier one left is claimed by renaming it.

    Args:
        target: what the file will be called.
        sha256: what is known of the file beforehand: only then is what one call leaves worth anything to the next.

    Attributes:
        num_bytes: bytes that are here.
        promised: SHA-256 (hex) of the whole file by the service's last answer, if it said.
        is_leftover: whether its first bytes are from an earlier call.
    """

    def __init__(self, target: Path, sha256: str | None) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        os.close(descriptor)
        self._target, self._path = target, Path(name)
        self._left = target.with_name(f".{target.name}.{sha256[:16]}.part") if sha256 else None
        self._etag: str | None = None
        self._digest = hashlib.sha256()
        self.num_bytes = 0
        self.promised: str | None = None
        self.is_leftover = self._claim()
        self._file = self._path.open("ab")

    def _claim(self) -> bool:
        if self._left is None:
            return False
        try:
            os.replace(self._left, self._path)
        except FileNotFoundError:
            return False
        with self._path.open("rb") as file:
            while chunk := file.read(READ_BYTES):
                self._digest.update(chunk)
                self.num_bytes += len(chunk)
        return True

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that ask for what is missing: of the same bytes, where an answer has named them."""
        ranged = {"Range": f"bytes={self.num_bytes}-"} if self.num_bytes else {}
        return {**ranged, **({"If-Range": self._etag} if self._etag and ranged else {})}

    def begin(self, status: int, headers: Mapping[str, str]) -> int | None:
        """Take note of an answer before its body: it goes on where the file ends, or is the whole file again.

        Returns:
            How many bytes the whole file has, if the answer says so.
        """
        size_bytes = int(headers["content-length"]) if "content-length" in headers else None
        if status == 206:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("content-range", "").strip())
            if found is None or int(found[1]) != self.num_bytes:
                raise UnexpectedAnswer(f"asked for bytes from {self.num_bytes}, got {headers.get('content-range')!r}")
            size_bytes = None if size_bytes is None else self.num_bytes + size_bytes
        else:
            self.restart()
        etag = headers.get("etag")
        self._etag = etag if etag and not etag.startswith("W/") else None
        self.promised = _read_digest(headers.get("repr-digest"))
        return size_bytes

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._digest.update(chunk)
        self.num_bytes += len(chunk)

    def restart(self) -> None:
        """Forget what is here."""
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.num_bytes, self.is_leftover, self._etag = 0, False, None

    @property
    def sha256(self) -> str:
        """Return the SHA-256 (hex) of the bytes that are here."""
        return self._digest.hexdigest()

    def publish(self) -> Path:
        """Give the file its name, and the permissions of an ordinary new file; one of that name is replaced."""
        self._file.close()
        mask = os.umask(0)
        os.umask(mask)
        self._path.chmod(0o666 & ~mask)
        os.replace(self._path, self._target)
        return self._target

    def leave(self) -> None:
        """Leave what is here for the next call."""
        self._file.close()
        if self._left is not None and self.num_bytes:
            os.replace(self._path, self._left)
        else:
            self.discard()

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def _read_digest(header: str | None) -> str | None:
    """Return the SHA-256 (hex) of a ``Repr-Digest`` (RFC 9530)."""
    found = re.search(r"sha-256=:([A-Za-z0-9+/]{43}=):", header or "")
    return None if found is None else base64.b64decode(found.group(1)).hex()


def safe_name(name: str) -> str:
    """Refuse a name that would leave the directory; the name comes from the network."""
    if name in {"", ".", ".."} or PurePosixPath(name).name != name or "\\" in name or "\0" in name:
        raise IntegrityError(f"the service sent an artifact name that is not a file name: {name!r}")
    return name
