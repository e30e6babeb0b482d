"""Each part imports only what its layer and its extra of ``pyproject.toml`` allow; checked in fresh processes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project.repository import ROOT

LOADED = "import json, sys; import {module}; print(json.dumps(sorted(name for name in sys.modules if '.' not in name)))"

# A finder in front of all others that hides the modules of distributions an extra does not install.
HIDE = """
import json, sys
hidden = frozenset(json.loads(sys.argv[1]))
class Hide:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide)
import importlib
importlib.import_module(sys.argv[2])
"""


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("app.main", {"torch", "numpy", "polars", "pyarrow", "worker", "farzi_client"}),
        ("farzi_core.soft_tokens", {"torch", "polars", "pyarrow", "app", "worker", "farzi_client"}),
        ("farzi_core.sequence_files", {"torch", "polars", "app", "worker", "farzi_client"}),
        ("farzi_client", {"torch", "pydantic", "fastapi", "sqlalchemy", "app", "farzi_core", "worker"}),
        ("farzi_client.cli", {"torch", "pydantic", "fastapi", "sqlalchemy", "app", "farzi_core", "worker"}),
        ("worker.main", {"torch", "fastapi", "farzi_client"}),
        ("worker.supervisor", {"torch", "fastapi", "farzi_client"}),
        ("worker.run", {"fastapi", "farzi_client"}),
        ("farzi_core.presets", {"torch", "numpy", "app", "worker", "farzi_client"}),
    ],
)
def test_importing_it_leaves_out(module: str, absent: set[str]) -> None:
    command = [sys.executable, "-c", LOADED.format(module=module)]
    loaded = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert absent & set(json.loads(loaded)) == set()


@pytest.mark.parametrize(
    ("extra", "module"),
    [
        ("", "farzi_client.cli"),
        ("server", "app.main"),
        ("server", "app.serve"),
        ("server", "app.migrate"),
        ("server", "farzi_core.soft_tokens"),
        ("server", "farzi_core.sequence_files"),
        ("worker", "worker.main"),
        ("worker", "worker.celery_app"),
        ("worker", "worker.supervisor"),
        ("worker", "worker.run"),
        ("worker", "farzi_core.pipeline"),
    ],
)
def test_its_extra_alone_is_enough(extra: str, module: str) -> None:
    installed = _closure(f"farzi[{extra}]" if extra else "farzi")
    hidden = [
        name
        for name, distributions in packages_distributions().items()
        if not {canonicalize_name(item) for item in distributions} & installed
    ]
    assert "pytest" in hidden
    command = [sys.executable, "-c", HIDE, json.dumps(hidden), module]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports"))]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert re.search(r"[1-9]\d* kept, 0 broken", result.stdout)


def _closure(requirement: str) -> set[str]:
    """Return the names of every distribution that installing ``requirement`` brings, by the metadata of what is installed."""
    found: set[tuple[str, str]] = set()
    waiting = [Requirement(requirement)]
    while waiting:
        item = waiting.pop()
        for extra in {"", *item.extras}:
            key = (canonicalize_name(item.name), extra)
            if key not in found:
                found.add(key)
                needs = (Requirement(line) for line in distribution(item.name).requires or ())
                waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}
