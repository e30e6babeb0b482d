"""Data sets: declare, upload, wait for validation, look at them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from farzi_client.errors import ApiError, DatasetInvalid, FarziClientError, UploadInterrupted, WaitTimeout
from farzi_client.models import Dataset, Page
from farzi_client.multipart import PartedUpload
from farzi_client.paging import get_page, iterate_pages
from farzi_client.transport import Transport, segment
from farzi_client.uploading import ByteProgress, content_digest, hash_file, read_chunks

Task = Literal["sequential_recommendation", "language_modeling"]
DataFormat = Literal["csv", "tsv", "jsonl", "parquet", "inter", "sequences", "text"]

PATH = "/v1/datasets"
# A file of this size goes up in parts.
PARTS_FROM_BYTES = 64 << 20
FIRST_POLL_S = 0.2
LONGEST_POLL_S = 2.0
NUM_PROBLEMS_SHOWN = 3


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
        digest, size_bytes = hash_file(file), file.stat().st_size
        headers = {
            "Content-Digest": content_digest(digest),
            "Content-Length": str(size_bytes),
            "Content-Type": "application/octet-stream",
        }
        try:
            answer = self._transport.put(
                f"{PATH}/{segment(dataset_id)}/content", lambda: read_chunks(file, size_bytes, on_progress), headers
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
        with file.open("rb"):
            pass
        dataset = self.create(name or file.name, format=format, task=task, columns=columns, options=options, metadata=metadata)
        try:
            if file.stat().st_size < parts_from_bytes:
                return self.upload_content(dataset.id, file, on_progress=on_progress)
            return PartedUpload(self._transport, dataset.id, on_progress).send(file)
        except UploadInterrupted:
            raise
        except BaseException:
            self._discard(dataset.id)
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

    def delete(self, dataset_id: str) -> None:
        """Delete a data set; refused while a job uses it."""
        self._transport.delete(f"{PATH}/{segment(dataset_id)}")

    def wait(
        self, dataset_id: str, *, timeout_s: float | None = None, on_poll: Callable[[Dataset], None] | None = None
    ) -> Dataset:
        """Wait until validation is over and return the data set, ``ready``.

        Raises:
            DatasetInvalid: the file is not what it was declared to be; the message names the first bad rows.
            WaitTimeout: it is still not validated after ``timeout_s`` seconds.
        """
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        poll_s = FIRST_POLL_S
        while (dataset := self.get(dataset_id)).status not in {"ready", "invalid"}:
            if dataset.status == "awaiting_upload":
                raise FarziClientError(f"{dataset_id} still awaits its upload: there is nothing to wait for")
            if on_poll is not None:
                on_poll(dataset)
            if give_up_at is not None and time.monotonic() + poll_s > give_up_at:
                raise WaitTimeout(f"{dataset_id} is still {dataset.status} after {timeout_s:g} s; wait longer")
            time.sleep(poll_s)
            poll_s = min(poll_s * 1.5, LONGEST_POLL_S)
        if dataset.status == "invalid":
            raise DatasetInvalid(self._describe_invalid(dataset), dataset)
        return dataset

    def _describe_invalid(self, dataset: Dataset) -> str:
        report = self.report(dataset.id)
        shown = [describe_problem(problem) for problem in (report.get("problems") or [])[:NUM_PROBLEMS_SHOWN]]
        num_more = int(report.get("num_problems") or 0) - len(shown)
        more = f" (and {num_more} more)" if num_more > 0 else ""
        return f"data set {dataset.id} is invalid: {'; '.join(shown) or 'see its report'}{more}"

    def _discard(self, dataset_id: str) -> None:
        try:
            self.delete(dataset_id)
        except FarziClientError:
            # The error that led here is the one to report.
            return


def describe_problem(problem: Mapping[str, Any]) -> str:
    """Return one row-level problem of a validation report as a sentence: where, and why."""
    places = [f"{name} {problem[name]}" for name in ("line", "column") if problem.get(name) is not None]
    reason = str(problem.get("reason") or "not allowed")
    return f"{', '.join(places)}: {reason}" if places else reason
