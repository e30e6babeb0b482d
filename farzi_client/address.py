"""Where the service is, and the key to it: by argument, or from the environment."""

from __future__ import annotations

import os

from farzi_client.errors import NoApiKey

URL_VARIABLE = "FARZI_API_URL"
KEY_VARIABLE = "FARZI_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"


def find_key(api_key: str | None) -> str:
    """Return the key.

    Raises:
        NoApiKey: there is none, or it cannot be one.
    """
    key = (api_key or os.environ.get(KEY_VARIABLE, "")).strip()
    if not key:
        raise NoApiKey(f"no API key: set {KEY_VARIABLE}, or pass api_key")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise NoApiKey(f"the API key has characters that no key has; look at {KEY_VARIABLE}")
    return key


def find_url(base_url: str | None) -> str:
    """Return the address."""
    return base_url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
