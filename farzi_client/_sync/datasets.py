# Made from farzi_client/_async/datasets.py by python -m tests.farzi_client.twins: change it there.
"""Data sets: declare, upload, wait for validation, look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from farzi_client._sync.concurrency import call, clean_up, in_thread, iterate, sleep
from farzi_client._sync.multipart import PartedUpload
from farzi_client._sync.paging import get_page, iterate_pages
from farzi_client._sync.transport import Transport
from farzi_client.datasets import FIRST_POLL_S, LONGEST_POLL_S, PARTS_FROM_BYTES, DataFormat, Task, describe_invalid
from farzi_client.errors import ApiError, DatasetInvalid, FarziClientError
from farzi_client.following import Patience
from farzi_client.models import Dataset, Page, Upload
from farzi_client.transport import segment
from farzi_client.uploading import ByteProgress, content_digest, hash_file, read_chunks

PATH = "/v1/datasets"


class Datasets:
    """``client.datasets``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        name: str,
        *,
        format: DataFormat,  # noqa: A002
        task: Task = "sequential_recommendation",
        columns: Mapping[str, str | int | None] | None = None,
        options: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Dataset:
        """Declare a data set; its status is ``awaiting_upload`` until ``upload_content``."""
        body: dict[str, Any] = {"name": name, "task": task, "format": format}
        optional = {"columns": columns, "options": options, "metadata": metadata}
        body.update({field: dict(value) for field, value in optional.items() if value is not None})
        return Dataset.from_json(self._transport.post(PATH, body, idempotency_key=idempotency_key))

    def upload_content(self, dataset_id: str, path: str | PathLike[str], *, on_progress: ByteProgress | None = None) -> Dataset:
        """Stream a file into a declared data set, with its digest; memory does not grow with the file.

        Args:
            dataset_id: data set that awaits its upload.
            path: file to send.
            on_progress: called with (bytes sent, bytes in all).
        """
        file = Path(path)
        digest, size_bytes = in_thread(hash_file, file), file.stat().st_size
        headers = {
            "Content-Digest": content_digest(digest),
            "Content-Length": str(size_bytes),
            "Content-Type": "application/octet-stream",
        }
        try:
            answer = self._transport.put(
                f"{PATH}/{segment(dataset_id)}/content", lambda: _send_file(file, size_bytes, on_progress), headers
            )
        except ApiError as error:
            # An attempt whose answer was lost may have arrived: the data set is then no longer waiting, and has these bytes.
            if error.status == 409 and (dataset := self.get(dataset_id)).sha256 == digest.hex():
                return dataset
            raise
        return Dataset.from_json(answer)

    def upload(
        self,
        path: str | PathLike[str],
        *,
        format: DataFormat,  # noqa: A002
        name: str | None = None,
        task: Task = "sequential_recommendation",
        columns: Mapping[str, str | int | None] | None = None,
        options: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        on_progress: ByteProgress | None = None,
        parts_from_bytes: int = PARTS_FROM_BYTES,
    ) -> Dataset:
        """Declare a data set and send its file; a declaration whose upload is refused is deleted again.

        A large file goes in parts: when it breaks off, ``resume_upload`` goes on with it.

        Returns:
            The data set with status ``validating``; see ``wait``.

        Raises:
            OSError: the file cannot be read; nothing was declared.
            ApiError: the service refused the declaration or the bytes.
            UploadInterrupted: an upload in parts broke off; data set and parts are still there.
        """
        file = Path(path)
        size_bytes = in_thread(_readable_size, file)
        dataset = self.create(name or file.name, format=format, task=task, columns=columns, options=options, metadata=metadata)
        parted = PartedUpload(self._transport, dataset.id, on_progress)
        try:
            if size_bytes < parts_from_bytes:
                return self.upload_content(dataset.id, file, on_progress=on_progress)
            return parted.send(file)
        except BaseException as error:
            # A refusal is final; what an upload in parts has sent is kept when it broke off or was cancelled.
            if isinstance(error, ApiError) or not parted.has_begun:
                clean_up(lambda: self._discard(dataset.id))
            raise

    def resume_upload(
        self,
        dataset_id: str,
        path: str | PathLike[str],
        *,
        upload_id: str | None = None,
        on_progress: ByteProgress | None = None,
    ) -> Dataset:
        """Go on with an upload in parts that broke off; only parts that are not there yet are sent.

        Args:
            dataset_id: data set that awaits its upload.
            path: the file, unchanged.
            upload_id: which upload; None: the newest open one of this file, or a new one.
            on_progress: called with (bytes that are there, bytes in all).
        """
        return PartedUpload(self._transport, dataset_id, on_progress).resume(Path(path), upload_id)

    def list(self) -> Iterator[Dataset]:
        """Yield every data set, newest first, page after page."""
        return iterate_pages(self._transport, PATH, Dataset, {})

    def list_page(self, *, limit: int = 20, cursor: str | None = None) -> Page[Dataset]:
        return get_page(self._transport, PATH, Dataset, {"limit": limit, "cursor": cursor})

    def get(self, dataset_id: str) -> Dataset:
        return Dataset.from_json(self._transport.get(f"{PATH}/{segment(dataset_id)}"))

    def preview(self, dataset_id: str) -> Any:
        """Return the first sequences in the user's own item ids or words, as the service sends them."""
        return self._transport.get(f"{PATH}/{segment(dataset_id)}/preview")

    def report(self, dataset_id: str) -> dict[str, Any]:
        """Return what validation found: bad rows with line, column and reason, and histograms."""
        return dict(self._transport.get(f"{PATH}/{segment(dataset_id)}/report") or {})

    def uploads(self, dataset_id: str) -> Iterator[Upload]:
        """Yield every upload in parts into a data set, newest first, without what is missing of each."""
        return iterate_pages(self._transport, f"{PATH}/{segment(dataset_id)}/uploads", Upload, {})

    def get_upload(self, dataset_id: str, upload_id: str) -> Upload:
        """Return one upload in parts: what is there of it, and what is missing."""
        return Upload.from_json(self._transport.get(_upload_path(dataset_id, upload_id)))

    def abort_upload(self, dataset_id: str, upload_id: str) -> None:
        """Give up an upload and delete its parts; the data set can still be uploaded."""
        self._transport.delete(_upload_path(dataset_id, upload_id))

    def delete(self, dataset_id: str) -> None:
        """Delete a data set; refused while a job uses it."""
        self._transport.delete(f"{PATH}/{segment(dataset_id)}")

    def wait(
        self, dataset_id: str, *, timeout_s: float | None = None, on_poll: Callable[[Dataset], object] | None = None
    ) -> Dataset:
        """Wait until validation is over and return the data set, ``ready``; outages of up to two minutes are waited through.

        Raises:
            DatasetInvalid: the file is not what it was declared to be; the message names the first bad rows.
            WaitTimeout: it is still not validated after ``timeout_s`` seconds.
        """
        poll_s, patience = FIRST_POLL_S, Patience(dataset_id, timeout_s)
        while (dataset := self._get_patiently(dataset_id, patience)).status not in {"ready", "invalid"}:
            if dataset.status == "awaiting_upload":
                raise FarziClientError(f"{dataset_id} still awaits its upload: there is nothing to wait for")
            if on_poll is not None:
                call(on_poll, dataset)
            sleep(min(poll_s, patience.remaining_s()))
            poll_s = min(poll_s * 1.5, LONGEST_POLL_S)
        if dataset.status == "invalid":
            raise DatasetInvalid(describe_invalid(dataset, self.report(dataset.id)), dataset)
        return dataset

    def _get_patiently(self, dataset_id: str, patience: Patience) -> Dataset:
        while True:
            try:
                dataset = self.get(dataset_id)
            except FarziClientError as error:
                patience.forgive_outage(error)
                sleep(min(LONGEST_POLL_S, patience.remaining_s()))
            else:
                patience.note_contact()
                return dataset

    def _discard(self, dataset_id: str) -> None:
        try:
            self.delete(dataset_id)
        except FarziClientError:
            # The error that led here is the one to report.
            return


def _send_file(file: Path, size_bytes: int, on_progress: ByteProgress | None) -> Iterator[bytes]:
    num_sent = 0
    for chunk in iterate(read_chunks(file, size_bytes)):
        yield chunk
        num_sent += len(chunk)
        if on_progress is not None:
            on_progress(num_sent, size_bytes)


def _readable_size(file: Path) -> int:
    with file.open("rb"):
        return file.stat().st_size


def _upload_path(dataset_id: str, upload_id: str) -> str:
    return f"{PATH}/{segment(dataset_id)}/uploads/{segment(upload_id)}"
