"""Artifacts: list and download; a file appears under its name only when every byte of it was verified."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from farzi_client.errors import FarziClientError, IntegrityError
from farzi_client.models import Artifact
from farzi_client.paging import get_page
from farzi_client.transport import Transport, segment
from farzi_client.uploading import CHUNK_BYTES, ByteProgress

# Called with the artifact, the bytes of it that are here and the bytes of it there are.
ArtifactProgress = Callable[[Artifact, int, int], None]


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
        draws: int | None = None,
        on_progress: ByteProgress | None = None,
    ) -> Path:
        """Download one artifact into ``directory`` and return its path; a file of that name is replaced.

        Args:
            job_id: whose artifact.
            name: as :meth:`list` names it.
            directory: where to; made when missing.
            draws: of ``sequences.jsonl`` and ``sequences.parquet`` only: how many hard sequences are drawn from each synthetic
                one, 1 to 100. The file is then called ``sequences-8-draws.jsonl``, because it is not the published one.
            on_progress: called with the bytes that are here and the bytes there are.

        Raises:
            IntegrityError: the bytes do not match the published SHA-256; nothing was kept.
            FarziClientError: the job has no artifact of that name.
        """
        published = self.list(job_id)
        for artifact in published:
            if artifact.name == name:
                return self._fetch(job_id, artifact, Path(directory), on_progress, draws)
        names = ", ".join(artifact.name for artifact in published) or "none yet: the job has not succeeded"
        raise FarziClientError(f"{job_id} has no artifact {name!r}; there are: {names}")

    def download_all(
        self, job_id: str, directory: str | PathLike[str] = ".", *, on_progress: ArtifactProgress | None = None
    ) -> tuple[Path, ...]:
        """Download every artifact of a job into ``directory`` and return the paths."""

        def report(artifact: Artifact) -> ByteProgress | None:
            return None if on_progress is None else lambda done, total: on_progress(artifact, done, total)

        return tuple(self._fetch(job_id, artifact, Path(directory), report(artifact)) for artifact in self.list(job_id))

    def _fetch(
        self, job_id: str, artifact: Artifact, directory: Path, on_progress: ByteProgress | None, draws: int | None = None
    ) -> Path:
        name = PurePosixPath(_safe_name(artifact.name))
        target = directory / (name if draws is None else f"{name.stem}-{draws}-draws{name.suffix}")
        directory.mkdir(parents=True, exist_ok=True)
        path = f"/v1/jobs/{segment(job_id)}/artifacts/{segment(artifact.name)}{'' if draws is None else f'?draws={draws}'}"
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                received = self._transport.retrying(lambda: self._receive(path, file, artifact.size_bytes, on_progress))
            # What was drawn for this caller has the digest that the answer gives; everything else the published one.
            expected = artifact.sha256 if draws is None or received.promised is None else received.promised
            if received.sha256 != expected:
                raise IntegrityError(
                    f"{artifact.name} of {job_id} arrived with SHA-256 {received.sha256}, but {expected} was promised; "
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
