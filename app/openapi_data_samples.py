"""What examples of the OpenAPI document say of data: one data set from its declaration on, and an upload of a larger one.

Every sample is one that the service could send, or takes.
"""

from __future__ import annotations

from typing import Any

from farzi_core.data_options import DatasetOptions

SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_ID_DIGITS = "01943e6f8c8a7d3ea1b6c2d4e5f60718"


def example_id(prefix: str) -> str:
    """Return an id of the form that the service makes."""
    return f"{prefix}_{_ID_DIGITS}"


def at(time: str) -> str:
    return f"2026-01-31T{time}.000000Z"


COLUMNS = {"user": "user_id", "item": "movie_id", "timestamp": "rated_at"}
LABELS = {"team": "search"}
DATASET_BODY = {
    "name": "movielens-100k",
    "task": "sequential_recommendation",
    "format": "csv",
    "columns": COLUMNS,
    "options": {"header": True},
    "metadata": LABELS,
}
READY_DATASET: dict[str, Any] = {
    **DATASET_BODY,
    "id": example_id("ds"),
    "object": "dataset",
    "options": DatasetOptions(header=True).model_dump(mode="json"),
    "status": "ready",
    "size_bytes": 1979173,
    "sha256": SHA256,
    "content_encoding": None,
    "num_sequences": 943,
    "num_events": 100000,
    "vocab_size": 1682,
    "max_sequence_length": 737,
    "created_at": at("11:58:00"),
    "updated_at": at("11:58:20"),
}
_NOT_KNOWN = dict.fromkeys(("size_bytes", "sha256", "num_sequences", "num_events", "vocab_size", "max_sequence_length"))
NEW_DATASET = {**READY_DATASET, **_NOT_KNOWN, "status": "awaiting_upload", "updated_at": at("11:58:00")}
UPLOADED_DATASET = {
    **NEW_DATASET,
    "status": "validating",
    "size_bytes": 1979173,
    "sha256": SHA256,
    "updated_at": at("11:58:05"),
}

_PART_BYTES = 16 * 2**20
_UPLOAD = {
    "id": example_id("upl"),
    "object": "upload",
    "dataset_id": example_id("ds"),
    "status": "open",
    "error_code": None,
    "size_bytes": 2 * _PART_BYTES + 1000,
    "sha256": SHA256,
    "part_size_bytes": _PART_BYTES,
    "num_parts": 3,
    "expires_at": "2026-02-01T11:58:02.000000Z",
    "created_at": at("11:58:02"),
    "updated_at": at("11:58:02"),
}
_PART = {"number": 1, "size_bytes": _PART_BYTES, "sha256": SHA256}


def _missing(number: int, size_bytes: int) -> dict[str, Any]:
    url = f"/v1/datasets/{example_id('ds')}/uploads/{example_id('upl')}/parts/{number}"
    return {"number": number, "offset_bytes": (number - 1) * _PART_BYTES, "size_bytes": size_bytes, "url": url, "headers": {}}


_MISSING = [_missing(2, _PART_BYTES), _missing(3, 1000)]
_PROBLEM = {
    "line": 4711,
    "column": "rated_at",
    "value": "yesterday",
    "code": "bad_timestamp",
    "reason": "'yesterday' is no time; give a number or ISO 8601",
}
_REPORT = {
    "num_rows": 100001,
    "num_problems": 1,
    "problem_counts": {"bad_timestamp": 1},
    "problems": [_PROBLEM],
    "dropped_rows": {"bad": 1, "below_min_rating": 0, "rare": 0},
    "warnings": [],
    "reading": {
        "line_is": "line",
        "header": True,
        "delimiter": ",",
        "columns": COLUMNS,
        "layout": None,
        "tokenizer": None,
    },
    "histograms": {
        "sequence_length": [{"low": 16, "high": 31, "count": 214}, {"low": 32, "high": 63, "count": 260}],
        "popularity": [{"low": 1, "high": 1, "count": 141}, {"low": 2, "high": 3, "count": 128}],
        "time": [{"low": 874724710, "high": 875097170, "count": 3311}],
    },
    "statistics": {
        "num_sequences": 943,
        "num_events": 100000,
        "vocab_size": 1682,
        "sequence_length": {"min": 20, "median": 65.0, "mean": 106.04, "max": 737},
        "share_repeated_events": 0.0,
        "num_duplicate_rows": 0,
        "num_short_sequences": 0,
    },
}

OF_SCHEMA: dict[str, Any] = {
    "DatasetCreate": DATASET_BODY,
    "DatasetOut": READY_DATASET,
    "MissingPartOut": _MISSING[0],
    "PartOut": _PART,
    "PreviewOut": {"data": [{"name": "196", "num_events": 39, "events": ["242", "393", "381"]}]},
    "ReportOut": _REPORT,
    "UploadCreate": {
        "size_bytes": _UPLOAD["size_bytes"],
        "sha256": SHA256,
        "part_size_bytes": None,
        "part_sha256s": None,
    },
    "UploadOut": _UPLOAD,
    "UploadWithPartsOut": {**_UPLOAD, "received_parts": [_PART], "missing_parts": _MISSING},
}
OF_OPERATION: dict[str, Any] = {
    "complete_upload": UPLOADED_DATASET,
    "create_dataset": NEW_DATASET,
    "create_upload": {**_UPLOAD, "received_parts": [], "missing_parts": [_missing(1, _PART_BYTES), *_MISSING]},
    "upload_content": UPLOADED_DATASET,
}
