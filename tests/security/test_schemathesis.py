"""Schemathesis over the OpenAPI document, every check on, against a real server on a socket.

``make test`` runs few examples in embedded mode; ``make nightly`` runs many, on Postgres too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import Settings
from tests.app.driving import ADMIN_KEY, running_in_thread

HERE = Path(__file__).parent
# A stream that never ends is no answer to wait for; a key that revokes itself would end the run.
LEFT_OUT = ("stream_events", "revoke_api_key")


def run_schemathesis(settings: Settings, directory: Path, *, max_examples: int, seed: int | None = None) -> int:
    """Fail with the tool's own report if it finds anything; return how many requests it made."""
    command = [str(Path(sys.executable).with_name("st")), "--no-color", f"--config-file={HERE / 'schemathesis.toml'}", "run"]
    options = ["--checks=all", f"--max-examples={max_examples}", "--warnings=off", "--continue-on-failure", "--workers=2"]
    options += [] if seed is None else [f"--seed={seed}"]
    options += [f"--exclude-operation-id={name}" for name in LEFT_OUT]
    with running_in_thread(settings) as server:
        done = subprocess.run(
            [*command, f"{server.url}/v1/openapi.json", "--header", f"Authorization: Bearer {ADMIN_KEY}", *options],
            cwd=directory,
            env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py")},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-30_000:] + done.stderr[-3_000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    generated = re.search(r"(\d+) generated", done.stdout)
    assert tested is not None
    assert generated is not None
    assert int(tested[1]) >= 45, "operations were skipped"
    return int(generated[1])


def service_settings(directory: Path, **fields: str) -> Settings:
    return Settings.model_validate({"data_dir": directory, "bootstrap_api_key": ADMIN_KEY, "rate_limit_per_s": 0, **fields})


def test_no_request_breaks_the_embedded_service(tmp_path: Path) -> None:
    assert run_schemathesis(service_settings(tmp_path / "data"), tmp_path, max_examples=1, seed=1) > 1000


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
