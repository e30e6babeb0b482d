"""Arguments that are more than one word: NAME=VALUE pairs and spec files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from farzi_client.cli.failures import UsageProblem

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WORDS = {"true": True, "false": False}


def parse_labels(pairs: Sequence[str] | None, flag: str) -> dict[str, str] | None:
    """Read ``NAME=TEXT`` pairs."""
    if not pairs:
        return None
    labels: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise UsageProblem(f"{flag} {pair!r} is not of the form NAME=VALUE")
        labels[name] = text
    return labels


def parse_values(pairs: Sequence[str] | None, flag: str) -> dict[str, Any] | None:
    """Read ``NAME=VALUE`` pairs: numbers, ``true``, ``false``, ``null`` and other JSON as what they are, the rest as text."""
    labels = parse_labels(pairs, flag)
    return None if labels is None else {name: _parse_value(text) for name, text in labels.items()}


def read_spec(path: Path) -> dict[str, Any]:
    """Read a spec file: one JSON object."""
    try:
        spec = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise UsageProblem(f"{path} is not UTF-8 text; a spec is a JSON object") from None
    except json.JSONDecodeError as error:
        raise UsageProblem(f"{path} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(spec, dict):
        raise UsageProblem(f'{path} holds no JSON object; a spec looks like {{"preset": "quick", "seed": 1}}')
    return spec


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        pass
    if _NUMBER.fullmatch(text):  # .5, which is no JSON
        return float(text)
    return _WORDS.get(text.lower(), text)
