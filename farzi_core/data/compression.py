"""Decompress an uploaded file into a file beside it, within limits: a small upload must not fill a disk.

One layer is taken off; what is inside is for the readers. Knows nothing of formats.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from farzi_core.content_encoding import ContentEncoding
from farzi_core.errors import DataError

CHUNK_BYTES = 2**20
# A short file may repeat itself more often than any real large one.
ALWAYS_ALLOWED_BYTES = 2**24


def decompress_file(
    source: Path,
    target: Path,
    encoding: ContentEncoding,
    *,
    max_bytes: int,
    max_ratio: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the decompressed bytes of ``source`` to ``target`` and return their number.

    Args:
        source: the file as uploaded; several gzip members or zstd frames in a row count as one file.
        target: is written over; no more than is allowed reaches the disk.
        encoding: how ``source`` is compressed.
        max_bytes: most decompressed bytes.
        max_ratio: most decompressed bytes for each compressed one, above the first 16 MiB.
        on_progress: called with how much of ``source`` was read, and how much there is, in bytes.

    Raises:
        DataError: ``decompression_limit``, or ``compression_damaged`` if the bytes are not what ``encoding`` says.

    Cost: one pass; memory up to 128 MiB for the window of a zstd frame, 32 KiB for gzip.
    """
    size_bytes = source.stat().st_size
    limit = min(max_bytes, max(ALWAYS_ALLOWED_BYTES, max_ratio * size_bytes))
    num_bytes = 0
    with pa.OSFile(str(source)) as compressed, target.open("wb") as plain:
        try:
            with pa.CompressedInputStream(compressed, encoding) as stream:
                while chunk := stream.read(min(CHUNK_BYTES, limit + 1 - num_bytes)):
                    num_bytes += len(chunk)
                    if num_bytes > limit:
                        raise _too_much(size_bytes, limit)
                    plain.write(chunk)
                    if on_progress is not None:
                        on_progress(min(compressed.tell(), size_bytes), size_bytes)
        except MemoryError:
            raise
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk, not of the file
            raise DataError(
                f"the file begins like {encoding} but cannot be decompressed ({error}); compress it again",
                code="compression_damaged",
            ) from error
    return num_bytes


def _too_much(size_bytes: int, limit: int) -> DataError:
    return DataError(
        f"the file of {size_bytes} bytes decompresses to more than {limit}, the most that is allowed; split it, or upload it "
        "uncompressed",
        code="decompression_limit",
    )
