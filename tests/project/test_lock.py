"""The lock file pins everything that the extras install, and nothing that only exists on one machine."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project.repository import project, read

CLIENT_EXTRAS = {"numpy", "torch", "polars", "pandas", "datasets", "mlflow", "wandb"}
PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([0-9][A-Za-z0-9.!]*)")


def _pins() -> dict[str, str]:
    matches = [PIN.fullmatch(line) for line in read("requirements.lock").splitlines()]
    return {canonicalize_name(match[1]): match[2] for match in matches if match is not None}


def _declared() -> list[Requirement]:
    table = project()["project"]
    extras = table["optional-dependencies"].values()
    requirements = [Requirement(line) for lines in (table["dependencies"], *extras) for line in lines]
    return [requirement for requirement in requirements if requirement.name != "farzi"]


def test_every_line_is_an_exact_public_version() -> None:
    assert [line for line in read("requirements.lock").splitlines() if not PIN.fullmatch(line)] == []


@pytest.mark.parametrize("requirement", _declared(), ids=str)
def test_declared_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    pin = _pins().get(canonicalize_name(requirement.name))
    assert pin is not None, f"{requirement.name} is not in requirements.lock; run make lock"
    assert requirement.specifier.contains(pin, prereleases=True), f"{requirement} does not allow {pin}; run make lock"


def test_extras_are_complete_by_themselves() -> None:
    extras = project()["project"]["optional-dependencies"]
    assert extras.keys() == {"server", "worker", "tracing", "demo", "docs", "bench", "dev", *CLIENT_EXTRAS}
    assert any(line.startswith("torch==") for line in extras["worker"])
    assert not any(line.startswith("torch") for line in (*extras["server"], *project()["project"]["dependencies"]))


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml", "Makefile", ".ci/run", "Dockerfile"])
def test_build_files_leave_the_choice_of_package_index_to_the_machine(name: str) -> None:
    lines = read(name).splitlines()
    assert [line for line in lines if re.search(r"index-url|find-links|file://|https://", line)] == []
