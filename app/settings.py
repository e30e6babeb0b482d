"""Settings from the environment (prefix ``FARZI_``); a bad value stops the start with one sentence naming the variable."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

ENV_PREFIX = "FARZI_"
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


class SettingsError(Exception):
    """The environment does not describe a service that can start."""


class Settings(BaseSettings):
    """Where the parts of the service are, and its limits.

    Without a broker URL the service is *embedded*: ``farzi serve`` runs its own supervisor, and unless a database or bucket is
    named, SQLite and a local directory under ``data_dir`` hold everything.
    """

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="ignore", frozen=True)

    database_url: str | None = Field(
        None, description="SQLAlchemy URL of Postgres (postgresql+psycopg://...); unset: SQLite in DATA_DIR."
    )
    broker_url: str | None = Field(
        None, description="Redis URL of the Celery broker; unset: no broker, the supervisor polls the job table."
    )
    s3_endpoint_url: str | None = Field(None, description="URL of the S3-compatible server; unset with S3_BUCKET set: AWS.")
    s3_public_endpoint_url: str | None = Field(
        None,
        description="URL under which clients reach the S3 server, for download redirects; unset with S3_ENDPOINT_URL set: "
        "downloads pass through the API.",
    )
    s3_bucket: str | None = Field(None, description="Bucket for all objects; unset: a directory in DATA_DIR.")
    s3_access_key_id: str | None = Field(None, description="S3 access key; unset: boto3's own credential chain.")
    s3_secret_access_key: SecretStr | None = Field(None, description="S3 secret key.")
    s3_region: str = Field("us-east-1", description="S3 region.")
    data_dir: Path = Field(Path("~/.local/share/farzi"), description="Directory of embedded mode: database, objects, secret.")
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on; 0 picks a free one.")
    cors_origins: str | None = Field(
        None,
        description="Origins whose web pages may call the API: exact ones ('https://app.example'), separated by commas; unset: "
        "none.",
    )
    bootstrap_api_key: SecretStr | None = Field(
        None,
        description="At least 32 characters, begins with fz_; becomes the first tenant's admin key when there is none.",
    )
    secret_key: SecretStr | None = Field(
        None,
        description="At least 32 characters; keys the HMAC of API keys and seals webhook secrets. Unset in embedded mode: made "
        "once, kept in DATA_DIR.",
    )
    secret_key_previous: SecretStr | None = Field(
        None,
        description="What SECRET_KEY was before, newest first, separated by commas; taken until all has gone over to it.",
    )
    max_upload_bytes: int = Field(5 * 2**30, ge=1, description="Largest data set that is accepted, in bytes.")
    max_decompressed_bytes: int = Field(
        10 * 2**30, ge=1, description="Largest data set that comes out of a compressed upload, in bytes."
    )
    max_decompression_ratio: int = Field(
        200, ge=1, description="Most bytes that come out of each byte of a compressed upload, above the first 16 MiB."
    )
    upload_idle_s: float = Field(60.0, gt=0, description="Longest silence of a client in the middle of an upload, in seconds.")
    upload_expires_s: float = Field(
        86400.0, gt=0, description="Seconds after which an upload in parts that was not completed is given up."
    )
    max_dataset_rows: int = Field(200_000_000, ge=1, description="Most rows of a data set.")
    validation_memory_bytes: int = Field(4 * 2**30, ge=2**28, description="Memory limit of the process that parses uploads.")
    validation_cpu_s: int = Field(1800, ge=1, description="CPU time limit of the process that parses uploads, in seconds.")
    run_memory_bytes: int | None = Field(
        None,
        ge=2**28,
        description="Most memory of its host that a distillation or evaluation may take, in bytes; unset: all there is.",
    )
    lease_s: float = Field(60.0, gt=0, description="Seconds a claimed job stays claimed without a heartbeat.")
    heartbeat_s: float = Field(10.0, gt=0, description="Seconds between heartbeats.")
    control_poll_s: float = Field(2.0, gt=0, description="Seconds between looks at a running job's cancel, pause and deadline.")
    stop_grace_s: float = Field(30.0, gt=0, description="Seconds a run gets to write its checkpoint before it is killed.")
    checkpoint_interval_s: float = Field(60.0, gt=0, description="Seconds from one checkpoint to the next.")
    checkpoint_max_share: float = Field(
        0.02,
        gt=0,
        le=1,
        description="Part of a run's time that checkpoints may take; where it would be more, they come less often.",
    )
    max_runs: int = Field(3, ge=1, description="Runs a job may lose before it fails with worker_lost.")
    run_silence_s: float = Field(
        60.0, gt=0, description="Seconds without a sign of life after which a run's process is taken for frozen and killed."
    )
    run_stall_s: float = Field(
        3600.0, gt=0, description="Seconds without a step after which a run is taken for hung and killed."
    )
    calibrate: bool = Field(
        True, description="Whether an idle GPU worker measures its machine, once in 30 days, for estimates."
    )
    keep_checkpoints_days: float = Field(
        7.0, ge=0, description="Days that the checkpoint of a failed or cancelled job is kept, for a retry."
    )
    torch_threads: int = Field(0, ge=0, description="CPU threads of a run; 0 leaves the choice to torch.")
    api_processes: int = Field(1, ge=1, le=64, description="Processes that answer HTTP requests on the one port.")
    quota_stored_bytes: int | None = Field(
        None, ge=0, description="Most bytes of uploads and artifacts a tenant may store; unset: no limit."
    )
    quota_datasets: int | None = Field(None, ge=0, description="Most data sets a tenant may have; unset: no limit.")
    quota_active_jobs: int | None = Field(None, ge=0, description="Most jobs of a tenant that are not over; unset: no limit.")
    quota_gpu_seconds_per_month: int | None = Field(
        None, ge=0, description="Seconds of runs on queue gpu a tenant may use in a calendar month (UTC); unset: no limit."
    )
    quota_cpu_seconds_per_month: int | None = Field(
        None, ge=0, description="Seconds of runs on queue cpu a tenant may use in a calendar month (UTC); unset: no limit."
    )
    rate_limit_per_s: float = Field(100.0, ge=0, description="Requests a second of one tenant, over time; 0: no limit.")
    rate_limit_burst: int = Field(1000, ge=1, description="Requests that a tenant may send at once after a pause.")
    keep_job_events_days: int | None = Field(
        None, ge=1, description="Days that events and metrics of a job stay after its end; unset: for ever."
    )
    webhook_allow_private: bool = Field(
        False, description="Lets webhooks go to private addresses, to every port and over http: for development and tests only."
    )
    log_format: Literal["json", "console"] = Field("json", description="Form of the log lines.")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="Least level that is logged.")] = (
        "info"
    )

    @field_validator("database_url")
    @classmethod
    def _database_is_known(cls, url: str | None) -> str | None:
        try:
            driver = None if url is None else make_url(url).drivername
        except (ArgumentError, ValueError):
            driver = "none that can be read"
        if driver not in {None, "postgresql+psycopg", "sqlite"}:
            raise ValueError(f"the URL's driver is {driver}; give 'postgresql+psycopg://USER:PASSWORD@HOST/DATABASE'")
        return url

    @field_validator("broker_url")
    @classmethod
    def _broker_is_redis(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("redis://", "rediss://")):
            raise ValueError("the broker is Redis; give 'redis://HOST:PORT/NUMBER'")
        return url

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_exact(cls, origins: str | None) -> str | None:
        for origin in _split(origins or ""):
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is not an origin; give 'https://HOST' or 'https://HOST:PORT', without a path")
        return origins

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Settings:
        key = self.bootstrap_api_key
        if key is not None and (len(key.get_secret_value()) < 32 or not key.get_secret_value().startswith("fz_")):
            raise ValueError("FARZI_BOOTSTRAP_API_KEY must have at least 32 characters and begin with 'fz_'")
        if self.secret_key is not None and len(self.secret_key.get_secret_value()) < 32:
            raise ValueError("FARZI_SECRET_KEY must have at least 32 characters")
        if any(len(previous) < 32 for previous in self.previous_secret_keys):
            raise ValueError("FARZI_SECRET_KEY_PREVIOUS must have keys of at least 32 characters, separated by commas")
        if self.secret_key is None and self.previous_secret_keys:
            raise ValueError("FARZI_SECRET_KEY_PREVIOUS needs FARZI_SECRET_KEY, the key that is to be used from now on")
        if self.secret_key is None and not self.embedded:
            raise ValueError("FARZI_SECRET_KEY is needed with FARZI_BROKER_URL; give at least 32 random characters")
        if self.broker_url is not None and self.database_url is None:
            raise ValueError("FARZI_BROKER_URL needs FARZI_DATABASE_URL: workers on other machines cannot share an SQLite file")
        if self.heartbeat_s * 2 > self.lease_s:
            raise ValueError("FARZI_HEARTBEAT_S must be at most half of FARZI_LEASE_S, or one late heartbeat loses the job")
        return self

    @property
    def embedded(self) -> bool:
        """Whether there is no broker, so that ``farzi serve`` runs its own supervisor."""
        return self.broker_url is None

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        return _split(self.cors_origins or "")

    @property
    def previous_secret_keys(self) -> tuple[str, ...]:
        return _split(self.secret_key_previous.get_secret_value() if self.secret_key_previous else "")

    @property
    def resolved_data_dir(self) -> Path:
        return self.data_dir.expanduser().resolve()

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.resolved_data_dir / 'farzi.sqlite3'}"


def _split(listed: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in listed.split(",") if item.strip())


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: one sentence per bad variable, naming it.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(item) for item in error.errors())) from None


def _describe(item: object) -> str:
    assert isinstance(item, dict)
    message = str(item["msg"]).removeprefix("Value error, ")
    location = item["loc"]
    return f"{ENV_PREFIX}{str(location[0]).upper()}: {message}" if location else message
