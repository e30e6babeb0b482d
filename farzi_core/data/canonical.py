"""The parquet file of a validated data set, version 1.

Columns ``name`` (string, null where sequences have no names) and ``events`` (list of int32 ids). The footer's metadata holds,
under ``farzi``, a JSON object with version, task, tokenizer, held-out counts and a SHA-256 over all content, and under
``farzi_vocabulary`` the tokens as a JSON array. Knows nothing of splits or formats of uploads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from farzi_core.data.sequences import EventIds, Offsets, SequenceDataset, Vocabulary
from farzi_core.errors import ArtifactError, DataError

CANONICAL_VERSION = 1
_HEADER_KEY = b"farzi"
_VOCABULARY_KEY = b"farzi_vocabulary"
_ROWS_PER_GROUP = 500_000
_STRINGS_PER_HASH = 100_000
# A vocabulary of millions of tokens sits in the footer, above pyarrow's default limits for it.
_FOOTER_LIMIT_BYTES = 2**31 - 1


def write_canonical(dataset: SequenceDataset, path: Path) -> None:
    """Write ``dataset`` to ``path``.

    Cost: O(events) time; holds one encoded row group besides the data set.
    """
    header = {
        "version": CANONICAL_VERSION,
        "task": dataset.task,
        "has_names": dataset.names is not None,
        "num_validation_sequences": dataset.num_validation_sequences,
        "num_test_sequences": dataset.num_test_sequences,
        "tokenizer": dataset.tokenizer,
        "sha256": hash_dataset(dataset),
    }
    names = pa.nulls(dataset.num_sequences, pa.string()) if dataset.names is None else pa.array(dataset.names, pa.string())
    table = pa.table({"name": names, "events": pa.LargeListArray.from_arrays(dataset.offsets, dataset.events)})
    footer = {
        _HEADER_KEY: json.dumps(header).encode(),
        _VOCABULARY_KEY: json.dumps(dataset.vocabulary.tokens, ensure_ascii=False).encode(),
    }
    # The arrow schema is left out: it would repeat the footer's content in base64.
    with pq.ParquetWriter(
        path, table.schema, compression="zstd", use_dictionary=False, write_page_checksum=True, store_schema=False
    ) as writer:
        writer.write_table(table, row_group_size=_ROWS_PER_GROUP)
        writer.add_key_value_metadata(footer)


def read_canonical(path: Path) -> SequenceDataset:
    """Read a data set written by ``write_canonical``.

    Raises:
        ArtifactError: the file is missing, truncated, of an unknown version, or its content is not what was written.
    """
    try:
        dataset, expected = _read_file(path)
        unchanged = hash_dataset(dataset) == expected
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, DataError) as error:
        raise ArtifactError(f"{path.name} is not a readable canonical data set ({error}); validate the upload again") from error
    if not unchanged:
        raise ArtifactError(f"the content of {path.name} does not match its SHA-256; validate the upload again")
    return dataset


def hash_dataset(dataset: SequenceDataset) -> str:
    """Return the SHA-256 (hex) of everything a data set holds; equal for equal data sets."""
    digest = hashlib.sha256()
    fixed = [
        dataset.task,
        dataset.tokenizer,
        dataset.num_validation_sequences,
        dataset.num_test_sequences,
        dataset.names is None,
    ]
    digest.update(json.dumps(fixed).encode())
    for strings in (dataset.vocabulary.tokens, dataset.names or ()):
        _hash_strings(digest, strings)
    digest.update(np.ascontiguousarray(dataset.offsets, dtype="<i8").data)
    digest.update(np.ascontiguousarray(dataset.events, dtype="<i4").data)
    return digest.hexdigest()


def _read_file(path: Path) -> tuple[SequenceDataset, str]:
    with pq.ParquetFile(
        path,
        thrift_string_size_limit=_FOOTER_LIMIT_BYTES,
        thrift_container_size_limit=_FOOTER_LIMIT_BYTES,
        page_checksum_verification=True,
    ) as file:
        metadata = file.metadata.metadata or {}
        header = _read_header(metadata, path)
        tokens = json.loads(metadata[_VOCABULARY_KEY])
        table = file.read(columns=["name", "events"])
    events, offsets = _flatten(table.column("events"))
    names = table.column("name")
    dataset = SequenceDataset(
        header["task"],
        Vocabulary(tuple(tokens)),
        events,
        offsets,
        tuple(names.to_pylist()) if header["has_names"] else None,
        int(header["num_validation_sequences"]),
        int(header["num_test_sequences"]),
        header["tokenizer"],
    )
    return dataset, str(header["sha256"])


def _read_header(metadata: dict[bytes, bytes], path: Path) -> dict[str, Any]:
    if _HEADER_KEY not in metadata:
        raise ArtifactError(f"{path.name} is a parquet file, but not a canonical data set; validate the upload again")
    header: dict[str, Any] = json.loads(metadata[_HEADER_KEY])
    if header["version"] != CANONICAL_VERSION:
        raise ArtifactError(
            f"{path.name} has version {header['version']}, this release reads version {CANONICAL_VERSION}; "
            "use the release that wrote it, or validate the upload again"
        )
    return header


def _flatten(column: pa.ChunkedArray) -> tuple[EventIds, Offsets]:
    chunks = column.chunks
    offsets = np.zeros(len(column) + 1, dtype=np.int64)
    if chunks:
        lengths = np.concatenate([chunk.value_lengths().to_numpy(zero_copy_only=False) for chunk in chunks])
        np.cumsum(lengths, out=offsets[1:])
    values = [chunk.flatten().to_numpy() for chunk in chunks] or [np.zeros(0, dtype=np.int32)]
    return np.concatenate(values).astype(np.int32, copy=False), offsets


def _hash_strings(digest: hashlib._Hash, strings: Sequence[str]) -> None:
    digest.update(len(strings).to_bytes(8, "little"))
    for start in range(0, len(strings), _STRINGS_PER_HASH):
        digest.update(json.dumps(strings[start : start + _STRINGS_PER_HASH]).encode())
