"""Room for a file of three parts; nothing else is special."""

from __future__ import annotations

import pytest

from app.settings import Settings
from app.storage_parts import MIN_PART_BYTES


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_upload_bytes": 4 * MIN_PART_BYTES})
