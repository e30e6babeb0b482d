"""Schemathesis over the OpenAPI document, every check on, against a real server on a socket that has something of everything.

``make test`` runs few examples in embedded mode; ``make nightly`` runs many, on Postgres too, and once as anybody would who has
nothing but the address and a key: without hooks, without configuration, beside a working worker.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.openapi import DOCS
from app.settings import Settings
from tests.app.driving import ADMIN_KEY, running_in_thread
from tests.security.seeding import seed

HERE = Path(__file__).parent
ANSWERED = re.compile(r'farzi_http_requests_total\{method="(\w+)",route="([^"]+)",status="2\d\d"\}')


def run_schemathesis(
    settings: Settings, directory: Path, *, max_examples: int, seed_of_run: int | None = None, with_head: bool = True
) -> int:
    """Fail with the tool's own report if it finds anything or a GET never had a success; return how many requests it made."""
    command = [str(Path(sys.executable).with_name("st")), "--no-color", "run"]
    options = ["--checks=all", f"--max-examples={max_examples}", "--continue-on-failure"]
    options += [] if seed_of_run is None else [f"--seed={seed_of_run}"]
    options += [] if with_head else ["--exclude-method=HEAD"]
    with running_in_thread(settings) as server:
        seeded = json.dumps(seed(server, directory))
        done = subprocess.run(
            [*command, f"{server.url}/v1/openapi.json", "--header", f"Authorization: Bearer {ADMIN_KEY}", *options],
            cwd=directory,
            env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py"), "FARZI_SEEDED_IDS": seeded},
            capture_output=True,
            text=True,
            check=False,
        )
        met = set(ANSWERED.findall(httpx.get(f"{server.url}/metrics").text))
    assert done.returncode == 0, done.stdout[-30_000:] + done.stderr[-3_000:]
    paths = json.loads((DOCS / "openapi.json").read_text())["paths"]
    every = {("GET", path) for path, item in paths.items() if "get" in item}
    assert every - met == set(), "operations that were never answered with a success\n" + done.stdout[-10_000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    generated = re.search(r"(\d+) generated", done.stdout)
    assert tested is not None
    assert generated is not None
    methods = {"get", "post", "put", "patch", "delete", *(["head"] if with_head else [])}
    assert int(tested[1]) == sum(method in methods for item in paths.values() for method in item), "operations were skipped"
    return int(generated[1])


def service_settings(directory: Path, **fields: str) -> Settings:
    return Settings.model_validate({"data_dir": directory, "bootstrap_api_key": ADMIN_KEY, "rate_limit_per_s": 0, **fields})


def test_no_request_breaks_the_embedded_service(tmp_path: Path) -> None:
    settings = service_settings(tmp_path / "data")
    assert run_schemathesis(settings, tmp_path, max_examples=1, seed_of_run=1, with_head=False) > 1000


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_no_request_of_many_breaks_the_embedded_service(tmp_path: Path) -> None:
    assert run_schemathesis(service_settings(tmp_path / "data"), tmp_path, max_examples=50) > 5000


@pytest.mark.nightly
@pytest.mark.service
@pytest.mark.timeout(3600)
def test_no_request_of_many_breaks_the_service_on_postgres(
    tmp_path: Path, postgres_url: str, s3_settings: dict[str, str]
) -> None:
    settings = service_settings(tmp_path / "data", database_url=postgres_url, **s3_settings)
    assert run_schemathesis(settings, tmp_path, max_examples=50) > 5000
