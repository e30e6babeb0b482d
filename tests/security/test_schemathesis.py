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
from tests.acceptance.conftest import choose_settings
from tests.acceptance.processes import farzi_process, wait_until_ready
from tests.app.driving import ADMIN_KEY, running_in_thread
from tests.security.schemathesis_hooks import STATUSES_OF_HEAD, breaks_a_rule
from tests.security.seeding import seed

HERE = Path(__file__).parent
ANSWERED = re.compile(r'farzi_http_requests_total\{method="(\w+)",route="([^"]+)",status="2\d\d"\}')


def run_tool(url: str, key: str, directory: Path, options: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Let Schemathesis do all of its checks on the service at ``url``."""
    command = [str(Path(sys.executable).with_name("st")), "--no-color", "run", f"{url}/v1/openapi.json", "--checks=all"]
    return subprocess.run(
        [*command, "--header", f"Authorization: Bearer {key}", "--continue-on-failure", *options],
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def run_schemathesis(
    settings: Settings, directory: Path, *, max_examples: int, seed_of_run: int | None = None, with_head: bool = True
) -> int:
    """Fail with the tool's own report if it finds anything or a GET never had a success; return how many requests it made."""
    options = [f"--max-examples={max_examples}", *([] if with_head else ["--exclude-method=HEAD"])]
    options += [] if seed_of_run is None else [f"--seed={seed_of_run}"]
    with running_in_thread(settings) as server:
        variables = {
            "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py"),
            "FARZI_SEEDED_IDS": json.dumps(seed(server, directory)),
        }
        done = run_tool(server.url, ADMIN_KEY, directory, options, **variables)
        met = set(ANSWERED.findall(httpx.get(f"{server.url}/metrics").text))
    assert done.returncode == 0, done.stdout[-30_000:] + done.stderr[-3_000:]
    paths = json.loads((DOCS / "openapi.json").read_text())["paths"]
    every = {("GET", path) for path, item in paths.items() if "get" in item}
    assert every - met == set(), "operations that were never answered with a success\n" + done.stdout[-10_000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested is not None
    methods = {"get", "post", "put", "patch", "delete", *(["head"] if with_head else [])}
    assert int(tested[1]) == sum(method in methods for item in paths.values() for method in item), "operations were skipped"
    return count_requests(done.stdout)


def count_requests(report: str) -> int:
    generated = re.search(r"(\d+) generated", report)
    assert generated is not None, report[-10_000:]
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


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed_of_run", [1, 2, 3])
def test_a_stranger_is_refused_nothing_but_what_is_announced(tmp_path: Path, seed_of_run: int) -> None:
    settings, log = choose_settings(tmp_path, FARZI_CALIBRATE="false", FARZI_RATE_LIMIT_PER_S="0"), tmp_path / "serve.log"
    options = [f"--seed={seed_of_run}", "--max-examples=10", "--output-truncate=false"]
    with farzi_process(["serve"], settings.variables, log) as server:
        wait_until_ready(settings.base_url, server, log)
        report = run_tool(settings.base_url, settings.api_key, tmp_path, options).stdout
    assert count_requests(report) > 3000
    assert "Errors:" not in report, report[-10_000:]
    found = re.findall(r"^- (ST\d+) ", report, re.MULTILINE)
    refusals = [json.loads(body) for body in re.findall(r'^ *`(\{"type":"urn:farzi:error:.*\})`$', report, re.MULTILINE)]
    assert [refusal for refusal in refusals if not breaks_a_rule(refusal)] == []
    of_head = re.findall(r"^\[(\d+)\] [^\n]+:\n\n[^\n]*\n+Reproduce with:\n\n *curl -X HEAD", report, re.MULTILINE)
    assert {int(status) for status in of_head} <= set(STATUSES_OF_HEAD)
    assert set(found) == {"ST202"}, report[-30_000:]
    assert len(found) == len(refusals) + len(of_head), report[-30_000:]
