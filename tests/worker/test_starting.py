"""How a worker starts: light, and with one sentence where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BROKER = {"FARZI_BROKER_URL": "redis://127.0.0.1:1/0", "FARZI_SECRET_KEY": "s" * 32}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FARZI_")}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=clean | environment, capture_output=True, text=True, timeout=60, check=False)


def test_supervisors_import_no_torch_and_no_http_edge() -> None:
    code = "import sys, worker.main, worker.supervisor; print({'torch', 'fastapi', 'polars'} & set(sys.modules))"
    assert run("-c", code).stdout == "set()\n"


def test_a_validation_imports_no_torch() -> None:
    code = "import sys, worker.run, worker.validation; print({'torch', 'fastapi'} & set(sys.modules))"
    assert run("-c", code).stdout == "set()\n"


@pytest.mark.parametrize(
    ("environment", "exit_code", "named"),
    [
        ({}, 2, "FARZI_BROKER_URL"),
        ({"FARZI_LEASE_S": "soon"}, 2, "FARZI_LEASE_S"),
        (BROKER | {"FARZI_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none"}, 3, "FARZI_DATABASE_URL"),
    ],
)
def test_a_worker_that_cannot_start_says_why_in_one_sentence(environment: dict[str, str], exit_code: int, named: str) -> None:
    ended = run("-m", "worker.main", "--queue", "gpu", **environment)
    assert ended.returncode == exit_code
    assert named in ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr


def test_the_embedded_supervisor_names_a_bad_setting(tmp_path: Path) -> None:
    ended = run("-m", "worker.supervisor", FARZI_DATA_DIR=str(tmp_path), FARZI_MAX_RUNS="0")
    assert ended.returncode == 2
    assert "FARZI_MAX_RUNS" in ended.stderr


def test_an_unknown_queue_is_refused() -> None:
    ended = run("-m", "worker.main", "--queue", "tpu")
    assert ended.returncode == 2
    assert "'gpu', 'cpu'" in ended.stderr
