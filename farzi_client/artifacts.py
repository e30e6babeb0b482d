"""Artifacts: list and download; a file appears under its name only when every byte of it was verified."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal
from urllib.parse import urlencode

from farzi_client.errors import FarziClientError, IntegrityError
from farzi_client.models import Artifact
from farzi_client.paging import get_page
from farzi_client.transport import Transport, segment
from farzi_client.uploading import CHUNK_BYTES, ByteProgress

# Called with the artifact, the bytes of it that are here and the bytes of it there are.
ArtifactProgress = Callable[[Artifact, int, int], None]


SequenceFormat = Literal["jsonl", "parquet", "inter", "text"]
ENDINGS: dict[SequenceFormat, str] = {"jsonl": ".jsonl", "parquet": ".parquet", "inter": ".inter", "text": ".txt"}


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


class Artifacts:
    """``client.artifacts``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, job_id: str) -> tuple[Artifact, ...]:
        """Return the published files of a job; empty until it succeeded."""
        return get_page(self._transport, f"/v1/jobs/{segment(job_id)}/artifacts", Artifact, {}).data

    def download(
        self,
        job_id: str,
        name: str,
        directory: str | PathLike[str] = ".",
        *,
        format: SequenceFormat | None = None,  # noqa: A002  the word of the API
        draws: int | None = None,
        seed: int | None = None,
        on_progress: ByteProgress | None = None,
    ) -> Path:
        """Download one artifact into ``directory`` and return its path; a file of that name is replaced.

        ``format``, ``draws`` and ``seed`` are of ``sequences.jsonl`` and ``sequences.parquet`` only: hard sequences are then
        made for this download, and the file is called after what was asked, for example ``sequences-8-draws-seed-1.inter``,
        because it is not the published one.

        Args:
            job_id: whose artifact.
            name: as :meth:`list` names it.
            directory: where to; made when missing.
            format: ``jsonl``, ``parquet``, ``inter`` (RecBole's atomic file) or ``text`` (a sequence a line).
            draws: how many hard sequences are drawn from each synthetic one, 1 to 100; more begin with those of fewer.
            seed: of the draws, 0 to 2^64 - 1; None: the published one.
            on_progress: called with the bytes that are here and the bytes there are.

        Raises:
            IntegrityError: the bytes do not match the published SHA-256; nothing was kept.
            FarziClientError: the job has no artifact of that name.
        """
        published = {artifact.name: artifact for artifact in self.list(job_id)}
        if name not in published:
            names = ", ".join(published) or "none yet: the job has not succeeded"
            raise FarziClientError(f"{job_id} has no artifact {name!r}; there are: {names}")
        drawing = Drawing(format, draws, seed)
        # Another format may be a published file: its digest is known then, and not that of the one that was named.
        artifact = published.get(drawing.published_name(name), published[name])
        return self._fetch(job_id, name, artifact, Path(directory), on_progress, drawing)

    def download_all(
        self, job_id: str, directory: str | PathLike[str] = ".", *, on_progress: ArtifactProgress | None = None
    ) -> tuple[Path, ...]:
        """Download every artifact of a job into ``directory`` and return the paths."""

        def report(artifact: Artifact) -> ByteProgress | None:
            return None if on_progress is None else lambda done, total: on_progress(artifact, done, total)

        return tuple(
            self._fetch(job_id, artifact.name, artifact, Path(directory), report(artifact), AS_PUBLISHED)
            for artifact in self.list(job_id)
        )

    def _fetch(  # noqa: PLR0917
        self,
        job_id: str,
        name: str,
        artifact: Artifact,
        directory: Path,
        on_progress: ByteProgress | None,
        drawing: Drawing,
    ) -> Path:
        """Download what ``drawing`` makes of the artifact ``name``; ``artifact`` is the published file it may be."""
        target = directory / drawing.rename(_safe_name(name))
        directory.mkdir(parents=True, exist_ok=True)
        path = f"/v1/jobs/{segment(job_id)}/artifacts/{segment(name)}{drawing.query}"
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                received = self._transport.retrying(lambda: self._receive(path, file, artifact.size_bytes, on_progress))
            # What was drawn for this caller has the digest that the answer gives; everything else the published one.
            expected = artifact.sha256 if drawing == AS_PUBLISHED or received.promised is None else received.promised
            if received.sha256 != expected:
                raise IntegrityError(
                    f"{name} of {job_id} arrived with SHA-256 {received.sha256}, but {expected} was promised; "
                    "nothing was kept, download it again"
                )
            _apply_umask(temporary)
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return target

    def _receive(self, path: str, file: BinaryIO, size_bytes: int, on_progress: ByteProgress | None) -> _Received:
        file.seek(0)
        file.truncate()
        digest = hashlib.sha256()
        received = 0
        with self._transport.stream(path, headers={"Accept": "*/*", "Accept-Encoding": "identity"}) as response:
            promised = _read_digest(response.headers.get("Repr-Digest"))
            size_bytes = int(response.headers.get("Content-Length", size_bytes))
            for chunk in response.iter_bytes(CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                if on_progress is not None:
                    on_progress(received, size_bytes)
        return _Received(digest.hexdigest(), promised)


@dataclass(frozen=True)
class _Received:
    """SHA-256 (hex) of the bytes that arrived, and the one that the answer's header promised, if any."""

    sha256: str
    promised: str | None


def _read_digest(header: str | None) -> str | None:
    """Return the SHA-256 (hex) of a ``Repr-Digest`` (RFC 9530)."""
    found = re.search(r"sha-256=:([A-Za-z0-9+/]{43}=):", header or "")
    return None if found is None else base64.b64decode(found.group(1)).hex()


def _safe_name(name: str) -> str:
    """Refuse a name that would leave the directory; the name comes from the network."""
    if name in {"", ".", ".."} or PurePosixPath(name).name != name or "\\" in name or "\0" in name:
        raise IntegrityError(f"the service sent an artifact name that is not a file name: {name!r}")
    return name


def _apply_umask(path: str) -> None:
    """Give a temporary file, which only its owner may read, the permissions of an ordinary new file."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, 0o666 & ~mask)
