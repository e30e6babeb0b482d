"""What a caller sends and sees of data sets."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from app.datasets.models import Dataset, DatasetStatus
from app.schemas import InputModel, Metadata, OutputModel, Timestamp
from farzi_core.config import DataFormat, Task
from farzi_core.content_encoding import ContentEncoding
from farzi_core.data_options import ColumnMapping, ColumnName, DatasetOptions

DatasetName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
FORMATS_WITHOUT_COLUMNS = frozenset({"sequences", "text"})


def _either(*options: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": list(options)}


def _with(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {field: schema}}


# `_parts_fit_together` as JSON Schema says it.
_RULES: Any = [
    _either(_with("task", {"const": "language_modeling"}), _with("format", {"not": {"const": "text"}})),
    _either(_with("task", {"const": "sequential_recommendation"}), _with("format", {"const": "text"})),
    _either(_with("columns", {"type": "null"}), _with("format", {"not": {"enum": sorted(FORMATS_WITHOUT_COLUMNS)}})),
    _either(
        _with("options", _with("min_rating", {"type": "null"})),
        {
            "required": ["columns"],
            **_with("columns", {"type": "object", "required": ["rating"], **_with("rating", {"not": {"type": "null"}})}),
        },
    ),
]


class DatasetCreate(InputModel):
    """A data set to be uploaded, and how its file is to be read."""

    model_config = ConfigDict(json_schema_extra={"allOf": _RULES})

    name: DatasetName = Field(description="What it is called; names need not be distinct.")
    task: Task = Field(description="What a student of the data learns: the next item of a user, or the next word of a text.")
    format: DataFormat = Field(description="Form of the file; docs/api/datasets.md describes each.")
    columns: ColumnMapping | None = Field(None, description="Which columns hold what; null: columns of the usual names.")
    options: DatasetOptions = DatasetOptions()
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if self.format == "text" and self.task != "language_modeling":
            raise ValueError("format 'text' is for task 'language_modeling'; use 'sequences' for events without columns")
        if self.format != "text" and self.task == "language_modeling":
            raise ValueError(
                f"format {self.format!r} is for task 'sequential_recommendation'; a language is learned from 'text'"
            )
        if self.columns is not None and self.format in FORMATS_WITHOUT_COLUMNS:
            raise ValueError(f"format {self.format!r} has no columns; leave 'columns' out")
        if self.options.min_rating is not None and (self.columns is None or self.columns.rating is None):
            raise ValueError("options.min_rating needs columns.rating; name the column that holds ratings")
        if self.columns is not None:
            _require_columns_of_their_own(self.columns, self.options)
        return self


def _require_columns_of_their_own(columns: ColumnMapping, options: DatasetOptions) -> None:
    """Refuse two roles of one column, as the file's validation would; what is not read may be any column."""
    read = {"user": columns.user, "item": columns.item, "timestamp": columns.timestamp}
    if options.min_rating is not None:
        read["rating"] = columns.rating
    role_of: dict[ColumnName, str] = {}
    for role, column in read.items():
        if column is not None and role_of.setdefault(column, role) != role:
            raise ValueError(
                f"columns.{role_of[column]} and columns.{role} are both {column!r}; each needs a column of its own"
            )


class DatasetOut(OutputModel):
    """A data set."""

    id: str
    object: Literal["dataset"] = "dataset"
    name: str
    task: Task
    format: DataFormat
    columns: dict[str, Any] | None = Field(description="As they were declared.")
    options: dict[str, Any] = Field(description="Reading options with every default resolved.")
    metadata: dict[str, str] = Field(validation_alias="user_metadata")
    status: DatasetStatus
    size_bytes: int | None = Field(description="Bytes as uploaded.")
    sha256: str | None = Field(description="SHA-256 of the bytes as uploaded.")
    content_encoding: ContentEncoding | None = Field(description="How the bytes as uploaded are compressed.")
    num_sequences: int | None = Field(description="Sequences: users, or lines of text; null until it is ready.")
    num_events: int | None = Field(description="Events of all sequences.")
    vocab_size: int | None = Field(description="Distinct items or words.")
    max_sequence_length: int | None = Field(
        description="Events of the longest one. A synthetic one of interactions has at most two fewer: the last are held out."
    )
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, row: Dataset) -> Self:
        return cls.model_validate(row)
