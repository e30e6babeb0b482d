"""File formats, version 1, of what a user trains on with a library of their own; ``farzi_core.artifacts`` has the rest.

``sequences.jsonl``        one hard sequence a line: ``sequence_id, draw, source, events`` and, for language, ``text``.
``sequences.parquet``      the same columns; the schema's ``farzi`` entry has the version and a SHA-256 of the records.
``vocabulary.json``        ``{"version", "sha256", "tokens"}``; event id i is ``tokens[i]``.

A line of jsonl has no room for a checksum: damage that leaves valid records is found by ``manifest.verify_files`` only.
Knows nothing of how the sequences were drawn, and imports no torch. Shape letters: S synthetic sequences, L length, K draws.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from farzi_core.data_options import END_OF_LINE, Tokenizer
from farzi_core.errors import ArtifactError
from farzi_core.manifest import read_json_object, require_version
from farzi_core.progress import ArtifactFile

FORMAT_VERSION = 1
VOCABULARY_NAME = "vocabulary.json"
SEQUENCES_JSONL_NAME = "sequences.jsonl"
SEQUENCES_PARQUET_NAME = "sequences.parquet"
MEDIA_TYPES = {SEQUENCES_JSONL_NAME: "application/jsonl", SEQUENCES_PARQUET_NAME: "application/vnd.apache.parquet"}
_HEADER_KEY = "farzi"
_RECORDS_PER_GROUP = 10_000
_RECORD_TYPES = {"sequence_id": int, "draw": int, "source": int, "events": list}
_RECORD_SCHEMA = [("sequence_id", pa.int64()), ("draw", pa.int64()), ("source", pa.int64()), ("events", pa.list_(pa.string()))]

Record = dict[str, Any]


def hash_vocabulary(tokens: Sequence[str]) -> str:
    """Return the SHA-256 (hex) of the tokens in their order."""
    return hashlib.sha256(json.dumps(list(tokens)).encode()).hexdigest()


def write_vocabulary(tokens: Sequence[str], path: Path) -> ArtifactFile:
    """Write the user's own ids or words, in the order of event ids."""
    content = {"version": FORMAT_VERSION, "sha256": hash_vocabulary(tokens), "tokens": list(tokens)}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return ArtifactFile(path.name, path, "application/json")


def read_vocabulary(path: Path) -> tuple[str, ...]:
    """Read the tokens.

    Raises:
        ArtifactError: the file is missing, damaged or of an unknown version.
    """
    content = read_json_object(path)
    require_version(content.get("version"), FORMAT_VERSION, path)
    tokens = content.get("tokens")
    if not isinstance(tokens, list) or hash_vocabulary(tokens) != content.get("sha256"):
        raise ArtifactError(f"the tokens of {path.name} do not match their SHA-256; download it again")
    return tuple(tokens)


def write_sequences(
    events: NDArray[np.integer], tokens: Sequence[str], path: Path, *, draws: int, tokenizer: Tokenizer | None = None
) -> ArtifactFile:
    """Write hard sequences in the user's own ids or words; the name's ending, ``.jsonl`` or ``.parquet``, is the format.

    Args:
        events: int (K * S, L); row ``d * S + s`` is draw d of synthetic sequence s, the ``source``.
        tokens: event id i is ``tokens[i]``.
        path: where to.
        draws: K, hard sequences per synthetic sequence.
        tokenizer: for language, adds the column ``text``: the events joined, a new line at every ``<eos>``.

    Cost: jsonl one pass that holds one sequence at a time; parquet two, for the hash in its header, and 10,000 sequences.
    """
    if path.suffix == ".jsonl":
        with path.open("w", encoding="utf-8", newline="\n") as file:
            records = _make_records(events, tokens, draws, tokenizer)
            file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    else:
        sha256 = _hash_records(_make_records(events, tokens, draws, tokenizer))
        _write_parquet(_make_records(events, tokens, draws, tokenizer), sha256, path, has_text=tokenizer is not None)
    return ArtifactFile(path.name, path, MEDIA_TYPES[f"sequences{path.suffix}"])


def join_text(tokens: Sequence[str], tokenizer: Tokenizer) -> str:
    """Join events to text, the inverse of ``farzi_core.data.text.tokenize``: ``<eos>`` becomes a line end."""
    separator = " " if tokenizer == "words" else ""
    lines: list[list[str]] = [[]]
    for token in tokens:
        if token == END_OF_LINE:
            lines.append([])
        else:
            lines[-1].append(token)
    return "\n".join(separator.join(line) for line in lines)


def read_sequences_jsonl(path: Path) -> list[Record]:
    """Read the records of ``sequences.jsonl``.

    Raises:
        ArtifactError: the file is missing or cut off, or a line is not such a record.
    """
    try:
        content = path.read_text(encoding="utf-8")
        records = [json.loads(line) for line in content.split("\n")[:-1]]
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path.name} cannot be read ({error}); download it again") from error
    if not content.endswith("\n"):
        raise ArtifactError(f"{path.name} ends in the middle of a line; download it again")
    _check_records(records, path)
    return records


def read_sequences_parquet(path: Path) -> list[Record]:
    """Read the records of ``sequences.parquet``.

    Raises:
        ArtifactError: the file is missing, damaged or of an unknown version.
    """
    try:
        table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
        header = json.loads((table.schema.metadata or {})[_HEADER_KEY.encode()])
        require_version(header["version"], FORMAT_VERSION, path)
        records: list[Record] = table.to_pylist()
        _check_records(records, path)
        unchanged = _hash_records(records) == header["sha256"]
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{path.name} is not a readable file of sequences ({error}); download it again") from error
    if not unchanged:
        raise ArtifactError(f"the content of {path.name} does not match the SHA-256 in its header; download it again")
    return records


def _make_records(
    events: NDArray[np.integer], tokens: Sequence[str], draws: int, tokenizer: Tokenizer | None
) -> Iterator[Record]:
    num_sources, rest = divmod(len(events), draws)
    assert rest == 0, f"{len(events)} hard sequences cannot be {draws} draws of every synthetic sequence"
    for index, row in enumerate(events):
        words = [tokens[event] for event in row.tolist()]
        record: Record = {
            "sequence_id": index,
            "draw": index // num_sources,
            "source": index % num_sources,
            "events": words,
        }
        if tokenizer is not None:
            record["text"] = join_text(words, tokenizer)
        yield record


def _write_parquet(records: Iterator[Record], sha256: str, path: Path, *, has_text: bool) -> None:
    columns = [*_RECORD_SCHEMA, *([("text", pa.string())] if has_text else [])]
    header = json.dumps({"version": FORMAT_VERSION, "sha256": sha256})
    schema = pa.schema(columns, metadata={_HEADER_KEY: header})
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        while group := list(islice(records, _RECORDS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _check_records(records: list[Record], path: Path) -> None:
    """Every record has its fields, and together they are all draws of all sources: a file cut between lines is noticed."""
    for index, record in enumerate(records):
        if not isinstance(record, dict) or any(type(record.get(key)) is not kind for key, kind in _RECORD_TYPES.items()):
            raise ArtifactError(f"record {index} of {path.name} lacks one of {', '.join(_RECORD_TYPES)}; download it again")
    num_sources = max((record["source"] for record in records), default=-1) + 1
    num_draws = max((record["draw"] for record in records), default=-1) + 1
    expected = [(draw * num_sources + source, draw, source) for draw in range(num_draws) for source in range(num_sources)]
    if [(record["sequence_id"], record["draw"], record["source"]) for record in records] != expected or not records:
        raise ArtifactError(f"{path.name} does not hold every draw of every sequence in order; download it again")


def _hash_records(records: Iterable[Record]) -> str:
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
