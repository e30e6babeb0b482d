"""Files that appear whole: written or moved beside their place, made durable, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from app.storage import CHUNK_BYTES, ObjectMissingError, StorageError


@contextmanager
def incoming_file(path: Path, directory: Path, *, may_move: bool) -> Iterator[Path]:
    """Yield the file's bytes, durable, as a file of ``directory`` ready to be renamed; it is gone again if the block fails."""
    incoming = directory / uuid4().hex
    try:
        if not (may_move and _moved(path, incoming)):
            with path.open("rb") as source, incoming.open("xb") as copy:
                shutil.copyfileobj(source, copy, CHUNK_BYTES)
        sync(incoming)
        yield incoming
    except BaseException:
        incoming.unlink(missing_ok=True)
        raise


def move_into_place(incoming: Path, target: Path) -> None:
    """Rename, again if somebody removed the emptied parent in between, and make it durable."""
    for attempt in (1, 2, 3):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            incoming.replace(target)
            break
        except FileNotFoundError:
            if attempt == 3:
                raise
    sync(target.parent)


def sync(path: Path) -> None:
    """Make a file's bytes, or the names in a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn errors of the file system into StorageError."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ObjectMissingError(f"{doing}: there is no such object") from error
    except OSError as error:
        raise StorageError(f"{doing}: {error.strerror or error}") from error


def _moved(path: Path, target: Path) -> bool:
    """Rename; False if the two lie on different file systems."""
    try:
        path.rename(target)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return False
        raise
    return True
