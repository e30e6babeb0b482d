"""The secret that keys digests of API keys and seals webhook secrets, and those that did so before it.

It comes from the settings, or is made once and kept in the data directory. Where the settings have one and the directory has
another, that one came before it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from app.settings import Settings, SettingsError

FILE_NAME = "secret_key"
NUM_BYTES = 32


@dataclass(frozen=True)
class ServiceSecrets:
    """The secret that is used, and earlier ones, newest first, that are still taken."""

    current: bytes
    previous: tuple[bytes, ...] = ()


def load_secret(settings: Settings) -> bytes:
    """Return the secret that is used.

    Raises:
        SettingsError: the data directory cannot be read or written.
    """
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    path = settings.resolved_data_dir / FILE_NAME
    try:
        if not path.exists():
            _make_secret(path)
    except OSError as error:
        raise _unusable(path, error) from None
    return _read_secret(path)


def load_secrets(settings: Settings) -> ServiceSecrets:
    """Return the secret that is used, and those before it.

    Raises:
        SettingsError: the data directory cannot be read or written.
    """
    current = load_secret(settings)
    previous = [key.encode() for key in settings.previous_secret_keys]
    path = settings.resolved_data_dir / FILE_NAME
    if settings.secret_key is not None and path.exists():
        previous.append(_read_secret(path))
    return ServiceSecrets(current, tuple(dict.fromkeys(secret for secret in previous if secret != current)))


def _unusable(path: Path, error: OSError) -> SettingsError:
    return SettingsError(f"FARZI_DATA_DIR: {path} cannot be used: {error.strerror}; choose a directory of yours")


def _read_secret(path: Path) -> bytes:
    try:
        secret = path.read_bytes()
    except OSError as error:
        raise _unusable(path, error) from None
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
