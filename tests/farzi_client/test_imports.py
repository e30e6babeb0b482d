"""The base install: what importing the client loads, and how long that takes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROBE = """
import json, sys, time
before = time.process_time()
import {module}
seconds = time.process_time() - before
print(json.dumps({{"modules": sorted(sys.modules), "seconds": seconds}}))
"""
FORBIDDEN = {"app", "farzi_core", "worker", "torch", "numpy", "pydantic", "sqlalchemy", "fastapi", "pandas", "celery"}


def import_alone(module: str) -> dict[str, object]:
    probe = subprocess.run([sys.executable, "-c", PROBE.format(module=module)], capture_output=True, text=True, check=True)
    answer: dict[str, object] = json.loads(probe.stdout)
    return answer


@pytest.mark.parametrize("module", ["farzi_client", "farzi_client.cli"])
def test_neither_service_nor_core_nor_their_libraries_are_loaded(module: str) -> None:
    loaded = import_alone(module)["modules"]
    assert isinstance(loaded, list)
    assert FORBIDDEN.isdisjoint(loaded)


def test_importing_the_client_takes_under_300_ms() -> None:
    # CPU time, the best of three: the limit is about the code, not about what else the machine does.
    seconds = [import_alone("farzi_client")["seconds"] for _ in range(3)]
    assert min(float(str(item)) for item in seconds) < 0.3
