"""Libraries that only some callers have: imported when they are asked for, named with their extra where they are missing."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from farzi_client.errors import MissingExtra


def need(module: str, extra: str, purpose: str) -> Any:
    """Import ``module`` and return it.

    Args:
        module: what is needed.
        extra: of the distribution ``farzi``, which installs it.
        purpose: what it is needed for, as the beginning of a sentence.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        # Whoever has the module without something that it needs itself is told what that is.
        raise MissingExtra(f"{purpose} needs {error.name}; install it with: pip install 'farzi[{extra}]'") from error


def is_installed(module: str) -> bool:
    """Whether ``module`` could be imported, without doing so."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # the second where a module is blocked on purpose
        return False
