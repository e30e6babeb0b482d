"""The operations page names every code that a failed job can carry, and only those."""

from __future__ import annotations

import re
from pathlib import Path

from app.jobs.states import JobErrorCode
from app.settings import Settings
from farzi_core import errors

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def test_every_code_of_a_failed_job_is_explained() -> None:
    table = PAGE.partition("## Why a job failed")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    core = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.FarziError)}
    assert documented == sorted(core | set(JobErrorCode))


def test_every_variable_it_names_exists() -> None:
    named = set(re.findall(r"`FARZI_(\w+)`", PAGE))
    assert len(named) > 5
    assert {name.lower() for name in named} <= set(Settings.model_fields)
