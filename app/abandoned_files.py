"""Temporary files that a process left behind when it was killed."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

ABANDONED_AFTER_S = 3600.0


def remove_abandoned_files(directory: Path) -> None:
    """Delete files of ``directory`` that nobody has written to for an hour; whoever still works on one writes more often."""
    oldest = time.time() - ABANDONED_AFTER_S
    for path in directory.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()
