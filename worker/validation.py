"""A run of kind ``validation``: read an upload under limits and say whether it is a data set. Imports no torch.

The file is the user's: whatever it holds ends in a verdict on the data set, and the job has done its work either way.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import polars

from app.datasets.verdicts import ValidatedContent
from app.jobs.states import JobErrorCode
from app.settings import Settings
from farzi_core.config import DataFormat, Task
from farzi_core.content_encoding import ContentEncoding
from farzi_core.data.compression import decompress_file
from farzi_core.data.reading import ReadResult, read_dataset, refuse_unread
from farzi_core.data.sequences import SequenceDataset
from farzi_core.data_options import ColumnMapping, DatasetOptions
from farzi_core.errors import DataError, FarziError
from worker.context import RunContext
from worker.limits import describe_limits, limited_process


def run_validation(context: RunContext) -> None:
    """Read the upload and write the verdict.

    Raises:
        FarziError: ``validation_limit``: the file takes more memory than it may, or a parser broke on it.
    """
    # There is nothing to save, and a long call into a parser would not notice a flag.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    upload = context.directory / "content"
    assert context.dataset.content_key is not None, "validation before the upload"
    context.store.fetch_file(context.dataset.content_key, upload)
    polars.LazyFrame({"event": [0]}).collect()  # starts the library's threads: the limit is for the file, not for them
    with _within_limits(context.settings):
        result = _read_uploaded(context, upload)
        canonical = context.directory / "canonical.parquet"
        if result.dataset is not None:
            result.dataset.write_parquet(canonical)
    if result.dataset is None:
        context.writer.refuse_dataset(result.report)
    else:
        _accept(context, result, result.dataset, canonical)


@contextmanager
def _within_limits(settings: Settings) -> Iterator[None]:
    """Give every way of running out of memory one name; a panic is no Exception, and would pass for a crash."""
    try:
        with limited_process(settings.validation_memory_bytes, settings.validation_cpu_s):
            yield
    except (MemoryError, polars.exceptions.PanicException, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENOMEM:
            raise
        raise FarziError(describe_limits(settings), code=JobErrorCode.VALIDATION_LIMIT) from error


def _read_uploaded(context: RunContext, upload: Path) -> ReadResult:
    """Read the file, decompressed first if that is how it came."""
    encoding = context.dataset.content_encoding
    if encoding is None:
        return _read(context, upload)
    plain, settings = context.directory / "decompressed", context.settings
    limits = {"max_bytes": settings.max_decompressed_bytes, "max_ratio": settings.max_decompression_ratio}
    try:
        decompress_file(upload, plain, cast(ContentEncoding, encoding), **limits, on_progress=context.writer.progress)
    except DataError as error:
        return refuse_unread(error)
    upload.unlink()
    return _read(context, plain)


def _read(context: RunContext, upload: Path) -> ReadResult:
    declared = context.dataset
    return read_dataset(
        upload,
        task=cast(Task, declared.task),
        format=cast(DataFormat, declared.format),
        columns=None if declared.columns is None else ColumnMapping.model_validate(declared.columns),
        options=DatasetOptions.model_validate(declared.options),
        max_rows=context.settings.max_dataset_rows,
        on_progress=context.writer.progress,
    )


def _accept(context: RunContext, result: ReadResult, dataset: SequenceDataset, canonical: Path) -> None:
    key = f"datasets/{context.dataset.id}/{context.lease.token}/canonical.parquet"
    context.store.put_file(key, canonical)
    summary = dataset.summary()
    content = ValidatedContent(
        canonical_key=key,
        num_sequences=summary.num_sequences,
        num_events=summary.num_events,
        vocab_size=summary.vocab_size,
        max_sequence_length=summary.max_sequence_length,
        report=result.report,
        preview=result.preview,
    )
    context.writer.accept_dataset(content)
