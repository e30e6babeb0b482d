"""A file on its way up in parts: what has arrived is not sent again, after a broken connection or in another process."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farzi_client.errors import ApiError, ConnectionFailed, FarziClientError, UploadInterrupted
from farzi_client.models import Dataset, MissingPart, Upload
from farzi_client.paging import iterate_pages
from farzi_client.transport import Transport, segment
from farzi_client.uploading import CHUNK_BYTES, ByteProgress

DEFAULT_PART_BYTES = 16 << 20
MAX_PARTS = 1000
NUM_THREADS = 4
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
            for chunk in read_part(path, offset, min(part_bytes, size_bytes - offset)):
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


def read_part(path: Path, offset: int, size_bytes: int) -> Iterator[bytes]:
    """Yield a part of a file, in constant memory."""
    with path.open("rb") as file:
        file.seek(offset)
        while size_bytes and (chunk := file.read(min(CHUNK_BYTES, size_bytes))):
            size_bytes -= len(chunk)
            yield chunk


class PartedUpload:
    """One file into one data set.

    Args:
        transport: the service.
        dataset_id: data set that awaits its upload.
        on_progress: called with the bytes that are there and the bytes there are; from several threads, one at a time.
    """

    def __init__(self, transport: Transport, dataset_id: str, on_progress: ByteProgress | None) -> None:
        self._transport = transport
        self._path = f"/v1/datasets/{segment(dataset_id)}/uploads"
        self._dataset_id = dataset_id
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._num_bytes = 0

    def send(self, path: Path) -> Dataset:
        """Begin an upload and see it through."""
        plan = FilePlan.of(path)
        return self._see_through(plan, Upload.from_json(self._transport.post(self._path, plan.body())))

    def resume(self, path: Path, upload_id: str | None = None) -> Dataset:
        """Go on with an upload of this file: the one that is named, or the newest open one; with none, begin one.

        Raises:
            FarziClientError: the upload is over, or is of another file.
        """
        open_uploads = [item for item in iterate_pages(self._transport, self._path, Upload, {}) if item.status == "open"]
        if upload_id is not None:
            open_uploads = [item for item in open_uploads if item.id == upload_id]
            if not open_uploads:
                raise FarziClientError(f"{upload_id} is no open upload into {self._dataset_id}; leave it out to begin another")
        size_bytes = path.stat().st_size
        for upload in (item for item in open_uploads if item.size_bytes == size_bytes):
            plan = FilePlan.of(path, upload.part_size_bytes)
            if plan.sha256 == upload.sha256:
                return self._see_through(plan, self._look(upload.id))
        if upload_id is not None:
            raise FarziClientError(f"{upload_id} is of another file than {path.name}; give the file it was begun with")
        return self.send(path)

    def _see_through(self, plan: FilePlan, upload: Upload) -> Dataset:
        try:
            self._send_missing(plan, upload)
            return Dataset.from_json(self._transport.post(f"{self._path}/{upload.id}/complete"))
        except (ConnectionFailed, KeyboardInterrupt) as error:
            raise UploadInterrupted(self._dataset_id, upload.id) from error
        except ApiError as error:
            if error.retryable or error.status >= 500:
                raise UploadInterrupted(self._dataset_id, upload.id) from error
            raise

    def _send_missing(self, plan: FilePlan, upload: Upload) -> None:
        idle_rounds = 0
        while missing := self._parts_to_send(plan, upload):
            self._report(plan.size_bytes - sum(part.size_bytes for part in missing), plan.size_bytes)
            try:
                self._send_all(plan, missing)
            except ApiError as error:
                idle_rounds += 1
                if error.status not in {400, 403} or idle_rounds > MAX_IDLE_ROUNDS:
                    raise
            previous, upload = len(missing), self._look(upload.id)
            if len(self._parts_to_send(plan, upload)) < previous:
                idle_rounds = 0
        self._report(plan.size_bytes, plan.size_bytes)

    def _parts_to_send(self, plan: FilePlan, upload: Upload) -> list[MissingPart]:
        """Return what is missing, and what is there with other bytes or with bytes nobody knows."""
        wrong = [part.number for part in upload.received_parts if part.sha256 != plan.part_sha256s[part.number - 1]]
        return [*upload.missing_parts, *(self._through_api(plan, upload, number) for number in wrong)]

    def _through_api(self, plan: FilePlan, upload: Upload, number: int) -> MissingPart:
        offset = (number - 1) * plan.part_size_bytes
        return MissingPart(
            number=number,
            offset_bytes=offset,
            size_bytes=min(plan.part_size_bytes, plan.size_bytes - offset),
            url=f"{self._path}/{upload.id}/parts/{number}",
        )

    def _send_all(self, plan: FilePlan, parts: list[MissingPart]) -> None:
        with ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="upload") as pool:
            waiting = [pool.submit(self._send_part, plan, part) for part in parts]
            try:
                for sent in waiting:
                    sent.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _send_part(self, plan: FilePlan, part: MissingPart) -> None:
        headers: Mapping[str, str] = {**part.headers, "Content-Length": str(part.size_bytes)}
        self._transport.put_part(part.url, lambda: read_part(plan.path, part.offset_bytes, part.size_bytes), headers)
        with self._lock:
            self._num_bytes += part.size_bytes
            self._tell(plan.size_bytes)

    def _report(self, num_bytes: int, size_bytes: int) -> None:
        with self._lock:
            self._num_bytes = num_bytes
            self._tell(size_bytes)

    def _tell(self, size_bytes: int) -> None:
        if self._on_progress is not None:
            self._on_progress(self._num_bytes, size_bytes)

    def _look(self, upload_id: str) -> Upload:
        return Upload.from_json(self._transport.get(f"{self._path}/{segment(upload_id)}"))
