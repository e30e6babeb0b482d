"""Importing the application costs nothing and needs nothing."""

from __future__ import annotations

import os
import subprocess
import sys


def _run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FARZI_")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**inherited, **variables}, timeout=60
    )


def test_import_needs_neither_torch_nor_settings() -> None:
    code = "import app.main, sys; print([name for name in ('torch', 'boto3', 'celery', 'worker') if name in sys.modules])"
    done = _run(code, FARZI_PORT="not a port")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_application_is_made_when_it_is_asked_for() -> None:
    assert _run("from app.main import app; print(app.title)").stdout.strip() == "Farzi"
    assert "FARZI_PORT" in _run("from app.main import app", FARZI_PORT="not a port").stderr
