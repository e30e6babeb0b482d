"""``manifest.json``: what a result was made from, and the SHA-256 and size of every file of it. Imports no torch.

Knows nothing of what is inside the files.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from farzi_core.errors import ArtifactError
from farzi_core.progress import ArtifactFile

MANIFEST_VERSION = 1
MANIFEST_NAME = "manifest.json"
LIBRARIES = ("numpy", "polars", "pyarrow", "safetensors", "torch")


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex. Cost: one read of the file, in constant memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def build_manifest(*, spec: Mapping[str, Any], data_sha256: str, seeds: Mapping[str, int]) -> dict[str, Any]:
    """Return a manifest without files: whoever publishes adds size, SHA-256 and media type of each to ``files``, by name.

    Args:
        spec: the distillation spec with every default resolved, as JSON values.
        data_sha256: of the data set's bytes as uploaded.
        seeds: every seed by what it is for.
    """
    return {
        "version": MANIFEST_VERSION,
        "spec": dict(spec),
        "data_sha256": data_sha256,
        "seeds": dict(seeds),
        "code": {"farzi": _version_of("farzi")},
        "libraries": {"python": platform.python_version(), **{name: _version_of(name) for name in LIBRARIES}},
        "files": {},
    }


def write_manifest(manifest: Mapping[str, Any], path: Path) -> ArtifactFile:
    """Write a manifest as indented JSON."""
    path.write_text(
        json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    return ArtifactFile(path.name, path, "application/json")


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        ArtifactError: the file is missing, damaged or of an unknown version.
    """
    manifest = read_json_object(path)
    require_version(manifest.get("version"), MANIFEST_VERSION, path)
    return manifest


def verify_files(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Check that every file the manifest lists lies in ``directory`` with the bytes it was published with.

    Raises:
        ArtifactError: a file is missing, or its size or SHA-256 differs.
    """
    for name, entry in manifest["files"].items():
        path = directory / name
        if not path.is_file():
            raise ArtifactError(f"{name} is listed in the manifest and missing here; download it again")
        if path.stat().st_size != entry["size_bytes"] or hash_file(path) != entry["sha256"]:
            raise ArtifactError(f"{name} does not have the SHA-256 of the manifest; download it again")


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        ArtifactError: the file is missing, or holds anything else.
    """
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path.name} cannot be read ({error}); download it again") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{path.name} holds a JSON {type(value).__name__} where an object belongs; download it again")
    return value


def require_version(found: object, known: int, path: Path) -> None:
    """Raise ArtifactError unless a file has the version this release reads."""
    if found != known:
        raise ArtifactError(f"{path.name} has version {found!r}, this release reads {known}; use the release that wrote it")


def _version_of(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"
