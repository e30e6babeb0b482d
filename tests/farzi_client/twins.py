"""Makes the blocking client from the asynchronous one: ``python -m tests.farzi_client.twins`` writes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import unasync

ROOT = Path(__file__).parents[2]
SOURCE, TWIN = ROOT / "farzi_client/_async", ROOT / "farzi_client/_sync"
# Written by hand on both sides.
BY_HAND = frozenset({"__init__.py", "concurrency.py"})
RENAMED = {
    "_async": "_sync",
    "aclose": "close",
    "aclosing": "closing",
    "aiter_bytes": "iter_bytes",
    "aiter_sse": "iter_sse",
    "aread": "read",
    "AsyncByteStream": "SyncByteStream",
    "AsyncExitStack": "ExitStack",
    "enter_async_context": "enter_context",
    **{
        f"Async{name}": name
        for name in (
            "Artifacts",
            "BoundJob",
            "Client",
            "Datasets",
            "JobFollower",
            "Jobs",
            "Keys",
            "PartedUpload",
            "Retrying",
            "Transport",
            "Webhooks",
        )
    },
}


def write_twins(directory: Path) -> None:
    """Write the blocking twin of every module of the asynchronous client into ``directory``."""
    sources = [str(path) for path in SOURCE.glob("*.py") if path.name not in BY_HAND]
    unasync.unasync_files(sources, [unasync.Rule(f"{SOURCE}/", f"{directory}/", RENAMED)])
    for path in directory.glob("*.py"):
        if path.name not in BY_HAND:
            note = f"# Made from farzi_client/_async/{path.name} by python -m tests.farzi_client.twins: change it there.\n"
            path.write_text(note + path.read_text())
    tidy = [sys.executable, "-m", "ruff"]
    options = ["--config", str(ROOT / "pyproject.toml"), "--quiet", str(directory)]
    subprocess.run([*tidy, "check", "--fix-only", "--select", "I", *options], check=True)
    subprocess.run([*tidy, "format", *options], check=True)


if __name__ == "__main__":
    write_twins(TWIN)
