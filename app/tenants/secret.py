"""The secret that keys the digests of API keys: from the settings, or made once and kept in the data directory."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from app.settings import Settings, SettingsError

FILE_NAME = "secret_key"
NUM_BYTES = 32


def load_secret(settings: Settings) -> bytes:
    """Return the secret.

    Raises:
        SettingsError: the data directory cannot be read or written.
    """
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    path = settings.resolved_data_dir / FILE_NAME
    try:
        if not path.exists():
            _make_secret(path)
        secret = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"FARZI_DATA_DIR: {path} cannot be used: {error.strerror}; choose a directory of yours") from None
    if len(secret) < NUM_BYTES:
        raise SettingsError(f"FARZI_DATA_DIR: {path} is damaged; restore it, or delete it and every API key becomes invalid")
    return secret


def _make_secret(path: Path) -> None:
    """Write a new secret; of two processes that try at once, both end up with the same one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=FILE_NAME)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(NUM_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
