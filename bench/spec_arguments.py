"""What benchmarks of a spec share: arguments for a preset and single fields laid over it, and a file of rows of results."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data_sets import read_data_set
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.presets import DEFAULT_PRESET, PRESET_NAMES, merge, resolve_spec


def add_spec_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--preset`` and ``--set``."""
    parser.add_argument("--preset", choices=PRESET_NAMES, default=DEFAULT_PRESET)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=JSON", help="for example outer.lr=0.03")


def read_setting(arguments: argparse.Namespace, defaults: Mapping[str, Any] | None = None) -> Setting:
    """Return data and student that the arguments name; ``defaults`` lie between the preset and the fields that were set.

    Raises:
        FarziError: the spec is wrong, or asks for more than the data have.
        OSError: the data set is not there.
        ValueError: the data set is not what its owners publish, or a field is wrong.
    """
    dataset = read_data_set(arguments.data_set, arguments.data)
    fields = merge(defaults or {}, parse_fields(arguments.set))
    return prepare_setting(dataset, resolve_spec(dataset.task, {"preset": arguments.preset, **fields}))


def add_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a JSON list of results, which is begun where there is none."""
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    path.write_text(json.dumps([*rows, row], indent=1) + "\n", encoding="utf-8")


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
