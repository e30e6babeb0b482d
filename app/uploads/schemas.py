"""What a caller sends and sees of uploads in parts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from app.schemas import InputModel, OutputModel, Timestamp
from app.storage_parts import MAX_PART_BYTES, MIN_PART_BYTES
from app.uploads.models import UploadStatus

MAX_PARTS = 1000
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


class UploadCreate(InputModel):
    """A file that will come in parts."""

    size_bytes: int = Field(ge=1, description="Bytes of the whole file.")
    sha256: Sha256 = Field(description="SHA-256 of the whole file, in hex; compared when the upload is completed.")
    part_size_bytes: int | None = Field(
        None,
        ge=MIN_PART_BYTES,
        le=MAX_PART_BYTES,
        description=f"Bytes of every part but the last; null: 16 MiB, more for a file of more than {MAX_PARTS} such parts.",
    )
    part_sha256s: list[Sha256] | None = Field(
        None,
        min_length=1,
        max_length=MAX_PARTS,
        description="SHA-256 of every part, in order. Each part is then checked on arrival, and its URL takes no other bytes.",
    )


class PartOut(OutputModel):
    """A part that is there."""

    number: int = Field(description="Counts from 1.")
    size_bytes: int
    sha256: str | None = Field(
        description="Null if it was not declared and went to object storage directly, or came several times at once."
    )


class MissingPartOut(OutputModel):
    """A part that has to be sent, and where to."""

    number: int = Field(description="Counts from 1.")
    offset_bytes: int = Field(description="Where it begins in the file.")
    size_bytes: int
    url: str = Field(
        description="Where to PUT its bytes. A path is of this API and takes the API key; a URL with a host is of object "
        "storage, takes no key, and works for an hour."
    )
    headers: dict[str, str] = Field(description="Headers to send with it, besides Content-Length.")


class UploadOut(OutputModel):
    """An upload in parts."""

    id: str
    object: Literal["upload"] = "upload"
    dataset_id: str
    status: UploadStatus
    error_code: str | None = Field(description="Why it failed.")
    size_bytes: int
    sha256: str = Field(description="SHA-256 that the whole file has to have.")
    part_size_bytes: int
    num_parts: int
    expires_at: Timestamp = Field(description="When it is given up, unless it was completed.")
    created_at: Timestamp
    updated_at: Timestamp


class UploadWithPartsOut(UploadOut):
    """An upload in parts, with its parts while it is open."""

    received_parts: list[PartOut]
    missing_parts: list[MissingPartOut]
