"""What a caller sees of a validation: its report, and the first sequences as they were understood."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field

from app.datasets.models import Dataset
from app.schemas import OutputModel
from farzi_core.data_options import Tokenizer


def _none_if_empty(value: Any) -> Any:
    return value or None


EmptyIsNone = BeforeValidator(_none_if_empty)


class RowProblem(OutputModel):
    """One thing that is wrong with the file."""

    line: int | None = Field(
        None, description="Line of the file, from 1, its header included (parquet: row); null: the file as a whole."
    )
    column: str | None = Field(None, description="Name of the column, or its number from 1 where columns have no names.")
    value: str | None = Field(
        None,
        description="What was found: at most 200 characters of it, those that cannot be seen written as `\\x1b`, `\\u202e`.",
    )
    code: str = Field(description="Stable name of the kind of problem.")
    reason: str = Field(description="What was found, what is allowed, what to change.")


class DroppedRows(OutputModel):
    """Rows that are not in the data set, by cause."""

    bad: int = Field(0, description="Rows with a problem, with option `bad_rows` `skip`.")
    below_min_rating: int = Field(0, description="Rows that option `min_rating` left out.")
    rare: int = Field(0, description="Events that `min_item_events` and `min_sequence_events` left out.")


class Reading(OutputModel):
    """How the file was understood."""

    line_is: Literal["line", "row"] = Field(description="What `line` counts in problems.")
    header: bool | None = Field(None, description="Whether the first line names the columns; csv, tsv and inter.")
    delimiter: str | None = Field(None, description="What stands between fields; csv, tsv and inter.")
    columns: dict[str, str] | None = Field(None, description="Column of each role: user, item, timestamp, rating.")
    layout: Literal["pairs", "sequences"] | None = Field(None, description="Form of the lines; sequences only.")
    tokenizer: Tokenizer | None = Field(None, description="What an event is; text only.")


class Bin(OutputModel):
    """How many values lie from `low` to `high`, both included."""

    low: int
    high: int
    count: int


class TimeSpan(OutputModel):
    """How many events lie between two times: numbers in the file's own unit, or ISO 8601 in UTC."""

    low: int | float | str
    high: int | float | str
    count: int


class Histograms(OutputModel):
    """Distributions of the data set; bins of counts double: 1, 2-3, 4-7, ..."""

    sequence_length: list[Bin] = Field(description="Sequences by their number of events.")
    popularity: list[Bin] = Field(description="Items or words by how often they occur.")
    time: list[TimeSpan] | None = Field(None, description="Events in 50 equal spans of time; null without timestamps.")


class SequenceLength(OutputModel):
    """Events of a sequence."""

    min: int
    median: float
    mean: float
    max: int


class Statistics(OutputModel):
    """Figures of the data set."""

    num_sequences: int
    num_events: int
    vocab_size: int
    sequence_length: SequenceLength


class InteractionStatistics(Statistics):
    """Figures of interactions."""

    share_repeated_events: float = Field(description="Share of events whose item occurred before in the sequence.")
    num_duplicate_rows: int | None = Field(
        None, description="Rows that equal one before in user, item and timestamp; null without timestamps. They are kept."
    )
    num_short_sequences: int = Field(description="Sequences too short to be split into training, validation and test.")


class TextStatistics(Statistics):
    """Figures of text."""

    num_train_events: int
    num_train_lines: int
    num_validation_lines: int
    num_test_lines: int
    share_unknown_train: float = Field(description="Share of the training events that are `<unk>`.")
    share_unknown_held_out: float = Field(description="Share of the events of validation and test that are `<unk>`.")


class ReportOut(OutputModel):
    """What validation found in a file."""

    num_rows: int | None = Field(
        None, description="Rows (lines of text or sequences), good and bad; null: refused before they were counted."
    )
    num_problems: int
    problem_counts: dict[str, int] = Field(default_factory=dict, description="How many problems of each code, most first.")
    problems: list[RowProblem] = Field(description="The first 1,000, in the order of lines; what refuses the whole file first.")
    dropped_rows: Annotated[DroppedRows | None, EmptyIsNone] = Field(None, description="Null for an invalid data set.")
    warnings: list[str] = Field(default_factory=list, description="What was decided and could be a surprise.")
    reading: Annotated[Reading | None, EmptyIsNone] = Field(None, description="Null where the file could not be understood.")
    histograms: Annotated[Histograms | None, EmptyIsNone] = Field(None, description="Null for an invalid data set.")
    statistics: Annotated[InteractionStatistics | TextStatistics | None, EmptyIsNone] = Field(
        None, description="Null for an invalid data set."
    )

    @classmethod
    def of(cls, row: Dataset) -> Self:
        return cls.model_validate(row.report)


class PreviewSequence(OutputModel):
    """A sequence as it was understood; long and invisible text is written as in problems."""

    name: str | None = Field(None, description="The user it belongs to, where sequences have names.")
    num_events: int
    events: list[str] = Field(description="Its first 20 events, in the user's own ids or words.")


class PreviewOut(OutputModel):
    """The first 20 sequences."""

    data: list[PreviewSequence]
