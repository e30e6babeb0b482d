"""How an uploaded file is to be read: column names and options, as frozen pydantic models. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_serializer

from farzi_core.spec_model import SpecModel

Tokenizer = Literal["words", "characters"]
END_OF_LINE = "<eos>"
SequenceFormat = Literal["jsonl", "parquet", "inter", "text"]
"""Formats in which hard sequences can be had."""
ColumnName = Annotated[str, Field(min_length=1, max_length=200)] | Annotated[int, Field(ge=0, le=10_000)]


class ColumnMapping(SpecModel):
    """Which columns hold what: by name, or by 0-based position in csv and tsv.

    A mapping in which nothing is set is the same as none: names are looked for, and a file without a header is read by the
    number of its columns (user item; user item timestamp; user item rating timestamp).
    """

    user: ColumnName = Field("user", description="Who: rows of one user make one sequence.")
    item: ColumnName = Field("item", description="What happened: the event.")
    timestamp: ColumnName | None = Field(
        "timestamp",
        description="When: a number or an ISO 8601 time; null keeps the order of the file. Need not exist unless it is set.",
    )
    rating: ColumnName | None = Field(None, description="Only read with option min_rating.")

    @model_serializer
    def _dump_what_is_set(self) -> dict[str, str | int | None]:
        # A mapping that went through JSON must still know what the user left out.
        return {name: value for name, value in self if name in self.model_fields_set}


class DatasetOptions(SpecModel):
    """Reading options; those that do not concern the format are ignored."""

    header: bool | None = Field(None, description="Whether the first line of csv/tsv names the columns; null looks.")
    delimiter: Annotated[str, Field(pattern=r"^[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x7f]$")] | None = Field(
        None, description="csv/tsv separator, one ASCII character but no quote or line end; null: by format."
    )
    min_rating: float | None = Field(None, description="Keep only rows rated at least this; needs a column of ratings.")
    min_sequence_events: int = Field(
        1, ge=1, le=1000, description="Drop sequences with fewer events, in turn with min_item_events until both hold."
    )
    min_item_events: int = Field(1, ge=1, le=1000, description="Drop events that occur less often.")
    bad_rows: Literal["refuse", "skip"] = Field(
        "refuse", description="Whether one bad row refuses the file or is only reported."
    )
    tokenizer: Tokenizer = Field("words", description="text: one event per word or per character.")
    lowercase: bool = Field(False, description="text: fold case before counting words.")
    max_vocab_size: int = Field(
        10_000, ge=4, le=1_000_000, description="text: most frequent events kept, <unk> and <eos> included; the rest are <unk>."
    )
    validation_fraction: float = Field(
        0.1, gt=0.0, le=0.4, description="text: share of lines, before the test lines, for validation."
    )
    test_fraction: float = Field(0.1, gt=0.0, le=0.4, description="text: share of the last lines for the test.")
