"""What a service left behind, read past its own code: rows by plain SQL, objects from the bucket or the directory."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from sqlalchemy import create_engine, text

from app.settings import Settings
from app.storage import OBJECTS_DIRECTORY

Row = dict[str, Any]
TABLES = ("jobs", "runs", "job_events", "manifests", "artifacts", "outbox", "datasets", "uploads")
_JSON = {"data", "content", "spec", "metrics", "report"}


@dataclass(frozen=True)
class Evidence:
    """Every row there is, by table; rows of a job also by the job's id, in their order."""

    tables: dict[str, list[Row]]
    by_job: dict[str, dict[str, list[Row]]] = field(default_factory=dict)

    @property
    def jobs(self) -> list[Row]:
        return self.tables["jobs"]

    def of(self, table: str, job_id: str) -> list[Row]:
        return self.by_job[table][job_id]


def collect(settings: Settings) -> Evidence:
    """Read the database in one transaction."""
    engine = create_engine(settings.resolved_database_url)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        tables = {
            name: [_plain(dict(row)) for row in connection.execute(text(f"SELECT * FROM {name}")).mappings()] for name in TABLES
        }
    engine.dispose()
    by_job: dict[str, dict[str, list[Row]]] = {}
    for name, order in {"runs": "number", "job_events": "seq", "manifests": "lease_token", "artifacts": "name"}.items():
        grouped: dict[str, list[Row]] = defaultdict(list)
        for row in sorted(tables[name], key=lambda row: row[order]):
            grouped[row["job_id"]].append(row)
        by_job[name] = grouped
    return Evidence(tables, by_job)


class ObjectReader:
    """Reads objects as any other program would."""

    def __init__(self, settings: Settings) -> None:
        self._sizes: dict[str, int] = {}
        self._directory: Path | None = None
        if settings.s3_bucket is None:
            self._directory = settings.resolved_data_dir / OBJECTS_DIRECTORY
            return
        assert settings.s3_secret_access_key is not None
        self._bucket = settings.s3_bucket
        self._client = boto3.client(
            "s3",
            endpoint_url=settings.s3_endpoint_url,
            aws_access_key_id=settings.s3_access_key_id,
            aws_secret_access_key=settings.s3_secret_access_key.get_secret_value(),
            region_name=settings.s3_region,
            config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required"),
        )

    def read(self, key: str) -> bytes | None:
        """Return the bytes, or None where there is no such object."""
        content = self._read(key)
        self._sizes[key] = 0 if content is None else len(content)
        return content

    def size(self, key: str) -> int:
        """Return how many bytes lie there; of an object that was read before, how many were read."""
        if key not in self._sizes:
            self.read(key)
        return self._sizes[key]

    def _read(self, key: str) -> bytes | None:
        if self._directory is not None:
            path = self._directory / key
            return path.read_bytes() if path.exists() else None
        try:
            content: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
                return None
            raise
        return content

    def close(self) -> None:
        if self._directory is None:
            self._client.close()


@contextmanager
def object_reader(settings: Settings) -> Iterator[ObjectReader]:
    reader = ObjectReader(settings)
    yield reader
    reader.close()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _plain(row: Row) -> Row:
    """SQLite gives text for JSON and for times."""
    for name, value in row.items():
        if isinstance(value, str) and name in _JSON:
            row[name] = json.loads(value)
        elif isinstance(value, str) and (name == "at" or name.endswith("_at")):
            row[name] = datetime.fromisoformat(value).replace(tzinfo=UTC)
    return row
