"""How an uploaded file is to be read: column names and options, as frozen pydantic models. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from farzi_core.config import SpecModel

ColumnName = Annotated[str, Field(min_length=1, max_length=200)] | Annotated[int, Field(ge=0, le=10_000)]


class ColumnMapping(SpecModel):
    """Which columns hold what: by name, or by 0-based position in a file without a header."""

    user: ColumnName = Field("user", description="Who: rows of one user make one sequence.")
    item: ColumnName = Field("item", description="What happened: the event.")
    timestamp: ColumnName | None = Field("timestamp", description="When; null keeps the order of the file.")
    rating: ColumnName | None = Field(None, description="Only with option min_rating.")


class DatasetOptions(SpecModel):
    """Reading options; those that do not concern the format are ignored."""

    header: bool | None = Field(None, description="Whether the first line of csv/tsv names the columns; null looks.")
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        None, description="csv/tsv separator; null: by format."
    )
    min_rating: float | None = Field(None, description="Keep only rows rated at least this; needs columns.rating.")
    min_sequence_events: int = Field(1, ge=1, le=1000, description="Drop sequences with fewer events.")
    min_item_events: int = Field(1, ge=1, le=1000, description="Drop events that occur less often.")
    bad_rows: Literal["refuse", "skip"] = Field(
        "refuse", description="Whether one bad row refuses the file or is only reported."
    )
    tokenizer: Literal["words", "characters"] = Field("words", description="text: one event per word or per character.")
    lowercase: bool = Field(False, description="text: fold case before counting words.")
    max_vocab_size: int = Field(
        10_000, ge=2, le=1_000_000, description="text: most frequent events kept; the rest become <unk>."
    )
    validation_fraction: float = Field(
        0.1, gt=0.0, le=0.4, description="text: share of lines, before the test lines, for validation."
    )
    test_fraction: float = Field(0.1, gt=0.0, le=0.4, description="text: share of the last lines for the test.")
