"""The whole path on Postgres, Redis, an S3 server, the API and two Celery workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import ServiceSettings
from tests.acceptance.interactions import InteractionFile
from tests.acceptance.main_path import run_main_path

pytestmark = [pytest.mark.acceptance, pytest.mark.service]


def test_upload_distil_download(server_settings: ServiceSettings, interactions: InteractionFile, tmp_path: Path) -> None:
    with server_settings.client() as http:
        run_main_path(http, interactions, tmp_path, timeout_s=300)
