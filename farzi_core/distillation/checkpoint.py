"""A checkpoint: named tensors and JSON values, written so that damage is always noticed.

Two files in a directory: ``checkpoint.safetensors`` and ``checkpoint.json``, which holds the values and the SHA-256 of the
first and of the values themselves. The JSON file is put in place last and at once, so that a half-written checkpoint does
not load. JSON numbers are written so that they read back bit-equal.

Every part of the pipeline can put its state into a checkpoint and be rebuilt from it; parts are joined under prefixes. This
module does not know what they hold.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from farzi_core.errors import ArtifactError
from farzi_core.manifest import hash_file

TENSORS_NAME = "checkpoint.safetensors"
VALUES_NAME = "checkpoint.json"
FORMAT = "farzi-checkpoint"
VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """State at one moment.

    Attributes:
        tensors: by dotted name.
        values: JSON values (finite numbers, strings, lists, objects).
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def join(cls, parts: Mapping[str, Checkpoint], **values: Any) -> Checkpoint:
        """Return one checkpoint of several, each under its name, plus further values."""
        tensors = {f"{name}.{key}": tensor for name, part in parts.items() for key, tensor in part.tensors.items()}
        return cls(tensors, {**values, "parts": {name: part.values for name, part in parts.items()}})

    def part(self, name: str) -> Checkpoint:
        """Return the part joined under ``name``.

        Raises:
            ArtifactError: there is none.
        """
        parts = self.values.get("parts", {})
        if name not in parts:
            raise ArtifactError(f"the checkpoint has no part {name!r}; it was written at another stage, use an older one")
        prefix = f"{name}."
        return Checkpoint({k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}, parts[name])

    def has_part(self, name: str) -> bool:
        return name in self.values.get("parts", {})

    def save(self, directory: Path) -> None:
        """Write both files into ``directory``, which is made when missing."""
        directory.mkdir(parents=True, exist_ok=True)
        # Copies: safetensors refuses tensors that share memory, and the state may go on changing.
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.tensors.items()}
        tensors_path = directory / TENSORS_NAME
        save_file(tensors, tensors_path)
        body = {
            "format": FORMAT,
            "version": VERSION,
            "tensors_sha256": hash_file(tensors_path),
            "values_sha256": _sha256_of_values(self.values),
            "values": self.values,
        }
        unfinished = directory / f"{VALUES_NAME}.part"
        unfinished.write_text(json.dumps(body, allow_nan=False), encoding="utf-8")
        os.replace(unfinished, directory / VALUES_NAME)

    @classmethod
    def load(cls, directory: Path) -> Checkpoint:
        """Read a checkpoint back, bit-equal.

        Raises:
            ArtifactError: a file is missing, truncated, altered, or of another format version.
        """
        body = _read_body(directory / VALUES_NAME)
        tensors_path = directory / TENSORS_NAME
        if _sha256_of_values(body["values"]) != body["values_sha256"]:
            raise ArtifactError(f"{VALUES_NAME} was altered after it was written; use an older checkpoint")
        try:
            if hash_file(tensors_path) != body["tensors_sha256"]:
                raise ArtifactError(f"{TENSORS_NAME} does not have the bytes it was written with; use an older checkpoint")
            tensors = load_file(tensors_path)
        except (OSError, SafetensorError) as error:
            raise ArtifactError(f"{TENSORS_NAME} cannot be read ({error}); use an older checkpoint") from error
        return cls(tensors, body["values"])


def _read_body(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path.name} cannot be read ({error}); use an older checkpoint") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise ArtifactError(f"{path.name} is no farzi checkpoint; give a directory that one was written to")
    if body.get("version") != VERSION:
        raise ArtifactError(
            f"{path.name} has checkpoint version {body.get('version')!r}, this release reads {VERSION}; start the job again"
        )
    if not isinstance(body.get("values"), dict) or not {"tensors_sha256", "values_sha256"} <= body.keys():
        raise ArtifactError(f"{path.name} lacks fields of a checkpoint; use an older one")
    return body


def _sha256_of_values(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, allow_nan=False).encode()).hexdigest()
