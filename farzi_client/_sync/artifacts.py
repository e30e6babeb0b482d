# Made from farzi_client/_async/artifacts.py by python -m tests.farzi_client.twins: change it there.
"""Artifacts: list and download, going on after broken connections, every byte verified."""

from __future__ import annotations

import tempfile
from os import PathLike
from pathlib import Path
from typing import Any

from farzi_client._sync.concurrency import in_thread
from farzi_client._sync.paging import get_page
from farzi_client._sync.transport import Transport
from farzi_client.artifacts import AS_PUBLISHED, ArtifactProgress, Drawing, PartialFile, SequenceFormat, safe_name
from farzi_client.data_card import REPORT_NAME, require_room, write_card
from farzi_client.errors import ApiError, ConnectionFailed, FarziClientError, IntegrityError
from farzi_client.models import Artifact, Job
from farzi_client.sequences import SEQUENCES_NAME, FrameLibrary, choose_library, read_sequences
from farzi_client.synthetic import SYNTHETIC_NAME, VOCABULARY_NAME, ArrayLibrary, SyntheticData, choose_arrays, read_synthetic
from farzi_client.transport import segment
from farzi_client.uploading import ByteProgress, hash_file


class Artifacts:
    """``client.artifacts``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, job_id: str) -> tuple[Artifact, ...]:
        """Return the published files of a job; empty until it succeeded."""
        return (get_page(self._transport, f"/v1/jobs/{segment(job_id)}/artifacts", Artifact, {})).data

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

        A broken connection is taken up at the byte where it broke. What a call that failed has of a published file lies
        hidden in ``directory``, and the next call goes on with it.

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

        artifacts = self.list(job_id)
        paths = [
            self._fetch(job_id, artifact.name, artifact, Path(directory), report(artifact), AS_PUBLISHED)
            for artifact in artifacts
        ]
        return tuple(paths)

    def synthetic(self, job_id: str, *, library: ArrayLibrary | None = None) -> SyntheticData:
        """Return the synthetic data of a job: soft tokens, the events shown before them, and how to train on them.

        Args:
            job_id: a distillation that has succeeded.
            library: ``torch`` or ``numpy``; None: torch where it is installed, else numpy.

        Raises:
            MissingExtra: the library is not installed.
            FarziClientError: the job has no synthetic data (yet).
        """
        chosen = in_thread(choose_arrays, library)
        with tempfile.TemporaryDirectory(prefix="farzi-") as directory:
            synthetic = self.download(job_id, SYNTHETIC_NAME, directory)
            vocabulary = self.download(job_id, VOCABULARY_NAME, directory)
            return in_thread(read_synthetic, synthetic, vocabulary, chosen)

    def sequences(
        self,
        job_id: str,
        *,
        library: FrameLibrary | None = None,
        draws: int | None = None,
        seed: int | None = None,
    ) -> Any:
        """Return hard sequences of a job in memory, in the user's own ids or words.

        Args:
            job_id: a distillation that has succeeded.
            library: ``polars``, ``pandas`` or ``datasets``; None: the first of these that is installed.
            draws: how many are drawn from each synthetic sequence, 1 to 100; None: as published.
            seed: of the draws; None: the published one.

        Returns:
            A ``polars.DataFrame``, a ``pandas.DataFrame`` or a ``datasets.Dataset``, a row a sequence.

        Raises:
            MissingExtra: the library is not installed.
            FarziClientError: the job has no sequences (yet).
        """
        chosen = in_thread(choose_library, library)
        with tempfile.TemporaryDirectory(prefix="farzi-") as directory:
            path = self.download(job_id, SEQUENCES_NAME, directory, draws=draws, seed=seed)
            return in_thread(read_sequences, path, chosen)

    def save_dataset(
        self,
        job_id: str,
        directory: str | PathLike[str],
        *,
        draws: int | None = None,
        seed: int | None = None,
        on_progress: ByteProgress | None = None,
    ) -> Path:
        """Save hard sequences as a data set of Hugging Face: parquet, and a data card ``README.md`` that says what they are.

        ``datasets.load_dataset(directory)`` reads it, and so does the hub, where a folder is uploaded as it is. Files of these
        names are replaced, but never a ``README.md`` that is no data card of Farzi.

        Args:
            job_id: a distillation that has succeeded.
            directory: where to; made when missing.
            draws: how many are drawn from each synthetic sequence, 1 to 100; None: as published.
            seed: of the draws; None: the published one.
            on_progress: called with the bytes that are here and the bytes there are.

        Returns:
            The path of the card.

        Raises:
            FarziClientError: the job has no sequences (yet), or the folder has a README.md of its own.
        """
        in_thread(require_room, Path(directory))
        data = self.download(job_id, SEQUENCES_NAME, directory, draws=draws, seed=seed, on_progress=on_progress)
        job = Job.from_json(self._transport.get(f"/v1/jobs/{segment(job_id)}"))
        sha256 = (in_thread(hash_file, data)).hex()
        with tempfile.TemporaryDirectory(prefix="farzi-") as elsewhere:
            report = self.download(job_id, REPORT_NAME, elsewhere)
            return in_thread(write_card, job, data, Drawing(draws=draws, seed=seed), sha256, report)

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
        target = directory / drawing.rename(safe_name(name))
        path = f"/v1/jobs/{segment(job_id)}/artifacts/{segment(name)}{drawing.query}"
        is_published = drawing == AS_PUBLISHED
        file = in_thread(PartialFile, target, artifact.sha256 if is_published else None)
        try:
            was_leftover = file.is_leftover
            if not (is_published and file.num_bytes == artifact.size_bytes):
                self._receive_all(path, file, artifact.size_bytes, on_progress)
            # What was drawn for this caller has the digest that the answer gives; everything else the published one.
            expected = artifact.sha256 if is_published or file.promised is None else file.promised
            if file.sha256 != expected and was_leftover:
                file.restart()
                self._receive_all(path, file, artifact.size_bytes, on_progress)
            if file.sha256 != expected:
                raise IntegrityError(
                    f"{name} of {job_id} arrived with SHA-256 {file.sha256}, but {expected} was promised; "
                    "nothing was kept, download it again"
                )
            return file.publish()
        except IntegrityError:
            file.discard()
            raise
        except BaseException:
            file.leave()
            raise

    def _receive_all(self, path: str, file: PartialFile, size_bytes: int, on_progress: ByteProgress | None) -> None:
        """Receive until all is here; retries are counted from the last byte that arrived."""
        furthest = file.num_bytes
        while True:
            try:
                self._transport.retrying(lambda: self._receive(path, file, size_bytes, on_progress))
            except ConnectionFailed:
                if file.num_bytes <= furthest:
                    raise
                furthest = file.num_bytes
            else:
                return

    def _receive(self, path: str, file: PartialFile, size_bytes: int, on_progress: ByteProgress | None) -> None:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", **file.headers}
        try:
            with self._transport.stream(path, headers=headers) as response:
                size_bytes = file.begin(response.status_code, response.headers) or size_bytes
                for chunk in response.iter_bytes():
                    in_thread(file.write, chunk)
                    if on_progress is not None:
                        on_progress(file.num_bytes, size_bytes)
        except ApiError as error:
            if error.status != 416 or not file.num_bytes:
                raise
            # What is here is longer than what is there, so it is of something else.
            file.restart()
            self._receive(path, file, size_bytes, on_progress)
