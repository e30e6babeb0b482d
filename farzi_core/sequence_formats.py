"""Hard sequences as files of other programs: RecBole's atomic ``.inter``, and plain text with one sequence a line.

``.inter``   ``user_id:token``, ``item_id:token``, ``timestamp:float``, tab-separated, quoted as in RFC 4180 where an id holds a
             tab, a line end or a quote: the user is the sequence's number, the time an event's position.
``text``     ids or words apart by spaces, characters side by side; ``<eos>`` is written as it is, so that a line is a sequence.

Neither says of which draw and source a sequence is: they stand in the order of ``sequences.jsonl``. Knows nothing of how the
sequences were drawn. Imports no torch.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farzi_core.data_options import SequenceFormat, Tokenizer
from farzi_core.errors import ArtifactError
from farzi_core.sequence_files import write_sequences

FORMAT_ENDINGS: dict[SequenceFormat, str] = {"jsonl": ".jsonl", "parquet": ".parquet", "inter": ".inter", "text": ".txt"}
FORMAT_MEDIA_TYPES: dict[SequenceFormat, str] = {
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
    "inter": "text/tab-separated-values; charset=utf-8",
    "text": "text/plain; charset=utf-8",
}
INTER_HEADER = ("user_id:token", "item_id:token", "timestamp:float")
NOT_EXPRESSIBLE = "not_expressible"

Events = NDArray[np.integer]


def write_as(
    data_format: SequenceFormat, events: Events, tokens: Sequence[str], path: Path, *, draws: int, tokenizer: Tokenizer | None
) -> None:
    """Write hard sequences in a format.

    Args:
        data_format: which.
        events: int (K * S, L); row ``d * S + s`` is draw d of synthetic sequence s.
        tokens: event id i is ``tokens[i]``.
        path: where to; its ending is that of the format.
        draws: K.
        tokenizer: of language; None for interactions.

    Raises:
        ArtifactError: the format cannot hold these sequences; code ``not_expressible``.

    Cost: O(events) time; memory of a few thousand sequences beyond ``events``.
    """
    if data_format == "inter":
        _write_inter(events, tokens, path, tokenizer)
    elif data_format == "text":
        _write_text(events, tokens, path, tokenizer)
    else:
        write_sequences(events, tokens, path, draws=draws, tokenizer=tokenizer)


def _write_inter(events: Events, tokens: Sequence[str], path: Path, tokenizer: Tokenizer | None) -> None:
    if tokenizer is not None:
        raise _not_expressible(
            "format 'inter' is for interactions, and this result is of text; ask for 'jsonl', 'parquet' or 'text'"
        )
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(INTER_HEADER)
        for number, row in enumerate(events):
            writer.writerows((number, tokens[event], position) for position, event in enumerate(row.tolist()))


def _write_text(events: Events, tokens: Sequence[str], path: Path, tokenizer: Tokenizer | None) -> None:
    separator = "" if tokenizer == "characters" else " "
    if tokenizer is None:
        _refuse_white_space(tokens)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(separator.join([tokens[event] for event in row.tolist()]) + "\n" for row in events)


def _refuse_white_space(tokens: Iterable[str]) -> None:
    for token in tokens:
        if token.split() != [token]:
            raise _not_expressible(
                f"format 'text' sets ids apart by spaces, and the id {token[:80]!r} holds white space; ask for 'jsonl', "
                "'parquet' or 'inter'"
            )


def _not_expressible(message: str) -> ArtifactError:
    return ArtifactError(message, code=NOT_EXPRESSIBLE)
