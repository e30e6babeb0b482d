"""``make help`` lists every target, and CI runs the same ones."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.project.repository import ROOT, read


def _phony_targets() -> set[str]:
    match = re.search(r"^\.PHONY: (.+)$", read("Makefile"), re.MULTILINE)
    assert match is not None
    return set(match[1].split())


def _make(*arguments: str, directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), *arguments],
        cwd=directory,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )


def test_help_is_the_default_and_lists_every_target() -> None:
    listed = dict(re.findall(r"^make (\S+) +(\S.+)$", _make().stdout, re.MULTILINE))
    assert listed.keys() == _phony_targets()
    assert listed.keys() >= {"help", "demo", "test", "lint", "types", "bench"}


def test_an_old_or_missing_python_is_refused_in_one_sentence(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "requirements.lock"):
        (tmp_path / name).touch()
    result = _make("demo", "PYTHON=python-that-is-not-there", directory=tmp_path)
    assert result.returncode != 0
    assert "needs Python 3.11 or newer" in result.stderr
    assert not (tmp_path / ".venv").exists()


def test_ci_runs_targets_of_the_makefile_and_tests_come_last() -> None:
    script = read(".ci/run")
    targets = re.findall(r"^make (\w+)$", script, re.MULTILINE)
    assert targets == ["lint", "types", "test"]
    assert set(targets) <= _phony_targets()
    assert "FARZI_REQUIRE_SERVICES=1" in script
    assert os.access(ROOT / ".ci/run", os.X_OK)
