"""The command-line arguments that say which spec a benchmark runs: a preset, and single fields laid over it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from farzi_core.presets import DEFAULT_PRESET, PRESET_NAMES


def add_spec_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--preset`` and ``--set``."""
    parser.add_argument("--preset", choices=PRESET_NAMES, default=DEFAULT_PRESET)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=JSON", help="for example outer.lr=0.03")


def parse_fields(fields: list[str]) -> dict[str, Any]:
    """Return ``["outer.lr=0.03"]`` as ``{"outer": {"lr": 0.03}}``; what is no JSON is a string.

    Raises:
        ValueError: a field is set, and a field inside it too.
    """
    overrides: dict[str, Any] = {}
    for field in fields:
        path, _, text = field.partition("=")
        *parents, name = path.split(".")
        part = overrides
        for parent in parents:
            part = part.setdefault(parent, {})
            if not isinstance(part, dict):
                raise ValueError(f"{path} was set, and so was {parent} as a whole; set one of the two")
        try:
            part[name] = json.loads(text)
        except json.JSONDecodeError:
            part[name] = text
    return overrides
