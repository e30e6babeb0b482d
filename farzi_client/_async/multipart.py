"""A file on its way up in parts: what has arrived is not sent again, after a broken connection or in another process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from farzi_client import multipart
from farzi_client._async.concurrency import for_each, in_thread, iterate
from farzi_client._async.paging import iterate_pages
from farzi_client._async.transport import AsyncTransport
from farzi_client.errors import ApiError, ConnectionFailed, FarziClientError, UploadInterrupted
from farzi_client.models import Dataset, MissingPart, Upload
from farzi_client.multipart import FilePlan
from farzi_client.transport import segment
from farzi_client.uploading import ByteProgress, read_chunks


class AsyncPartedUpload:
    """One file into one data set.

    Args:
        transport: the service.
        dataset_id: data set that awaits its upload.
        on_progress: called with the bytes that are there and the bytes there are, once at a time.

    Attributes:
        has_begun: whether the service knows of an upload, with parts that may be kept.
    """

    def __init__(self, transport: AsyncTransport, dataset_id: str, on_progress: ByteProgress | None) -> None:
        self._transport = transport
        self._path = f"/v1/datasets/{segment(dataset_id)}/uploads"
        self._dataset_id = dataset_id
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._num_bytes = 0
        self.has_begun = False

    async def send(self, path: Path) -> Dataset:
        """Begin an upload and see it through."""
        plan = await in_thread(FilePlan.of, path)
        return await self._see_through(plan, Upload.from_json(await self._transport.post(self._path, plan.body())))

    async def resume(self, path: Path, upload_id: str | None = None) -> Dataset:
        """Go on with an upload of this file: the one that is named, or the newest open one; with none, begin one.

        Raises:
            FarziClientError: the upload is over, or is of another file.
        """
        open_uploads = [item async for item in iterate_pages(self._transport, self._path, Upload, {}) if item.status == "open"]
        if upload_id is not None:
            open_uploads = [item for item in open_uploads if item.id == upload_id]
            if not open_uploads:
                raise FarziClientError(f"{upload_id} is no open upload into {self._dataset_id}; leave it out to begin another")
        size_bytes = path.stat().st_size
        for upload in (item for item in open_uploads if item.size_bytes == size_bytes):
            plan = await in_thread(FilePlan.of, path, upload.part_size_bytes)
            if plan.sha256 == upload.sha256:
                return await self._see_through(plan, await self._look(upload.id))
        if upload_id is not None:
            raise FarziClientError(f"{upload_id} is of another file than {path.name}; give the file it was begun with")
        return await self.send(path)

    async def _see_through(self, plan: FilePlan, upload: Upload) -> Dataset:
        self.has_begun = True
        try:
            await self._send_missing(plan, upload)
            return Dataset.from_json(await self._transport.post(f"{self._path}/{segment(upload.id)}/complete"))
        except (ConnectionFailed, KeyboardInterrupt) as error:
            raise UploadInterrupted(self._dataset_id, upload.id) from error
        except ApiError as error:
            if error.retryable or error.status >= 500:
                raise UploadInterrupted(self._dataset_id, upload.id) from error
            raise

    async def _send_missing(self, plan: FilePlan, upload: Upload) -> None:
        idle_rounds = 0
        while missing := plan.parts_to_send(upload, self._path):
            self._report(plan.size_bytes - sum(part.size_bytes for part in missing), plan.size_bytes)
            try:
                await for_each(partial(self._send_part, plan), missing, limit=multipart.NUM_AT_ONCE)
            except ApiError as error:
                idle_rounds += 1
                if error.status not in {400, 403} or idle_rounds > multipart.MAX_IDLE_ROUNDS:
                    raise
            previous, upload = len(missing), await self._look(upload.id)
            if len(plan.parts_to_send(upload, self._path)) < previous:
                idle_rounds = 0
        self._report(plan.size_bytes, plan.size_bytes)

    async def _send_part(self, plan: FilePlan, part: MissingPart) -> None:
        headers: Mapping[str, str] = {**part.headers, "Content-Length": str(part.size_bytes)}
        await self._transport.put_part(
            part.url, lambda: iterate(read_chunks(plan.path, part.size_bytes, part.offset_bytes)), headers
        )
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

    async def _look(self, upload_id: str) -> Upload:
        return Upload.from_json(await self._transport.get(f"{self._path}/{segment(upload_id)}"))
