"""One embedded service for all pages, started by its own command, and somebody who reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import ServiceSettings, choose_settings
from tests.acceptance.processes import farzi_process, wait_until_ready
from tests.docs.running import Reader

# What is left of a preset so that a page takes seconds; every phase and every file is still there.
SMALL = {
    "preset": "quick",
    "student": {"hidden_size": 8, "num_layers": 1, "num_heads": 1, "max_length": 12},
    "synthetic": {"num_sequences": 4, "sequence_length": 12, "latent_dim": 8},
    "inner": {"num_steps": 4, "min_steps": 2, "batch_size": 4},
    "meta_gradient": {"window": 2},
    "outer": {"num_steps": 2, "batch_size": 8, "validate_every": 2},
    "teacher": {"num_steps": 2, "batch_size": 8},
    "evaluation": {"num_seeds": 2, "max_steps": 4, "num_validations": 2, "lr_factors": [1.0], "max_validation_cases": 20},
}
ReaderOf = Callable[..., Reader]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceSettings]:
    directory = tmp_path_factory.mktemp("service")
    settings = choose_settings(directory, FARZI_CALIBRATE="false")
    log = directory / "serve.log"
    with farzi_process(["serve"], settings.variables, log) as server:
        wait_until_ready(settings.base_url, server, log)
        yield settings


@pytest.fixture
def reader_of(service: ServiceSettings, tmp_path: Path) -> ReaderOf:
    """Makes a reader; ``also`` are further replacements in what the page says."""
    (tmp_path / "small.json").write_text(json.dumps(SMALL))

    def make(*also: tuple[str, str]) -> Reader:
        replaced = (
            (r"http://127\.0\.0\.1:8000", service.base_url),
            (r"fz_(choose-32-or-more-characters-here|the-key-that-was-shown)", service.api_key),
            (r"--preset quick", "--spec small.json"),
            (r'preset="quick"', f"spec={SMALL!r}"),
            *also,
        )
        return Reader(tmp_path, {"FARZI_API_URL": service.base_url, "FARZI_API_KEY": service.api_key}, replaced)

    return make
