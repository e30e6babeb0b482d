"""Which workers of this machine are gone: each holds a lock that the kernel lets go of at its end, however that comes.

A lock that can be had tells of a worker's death in seconds, where a lease takes its whole length. It says nothing of other
machines, and need not be right: whoever was taken for dead and lives has lost its lease, and can write nothing any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from app.settings import Settings

logger = logging.getLogger(__name__)

# A claim may arrive at the database after its worker died: for so long its name is looked for again.
REMEMBERED_S = 600.0
UNSEEN = "%s cannot be used: that this worker is killed is noticed only when its lease runs out"


def make_name(role: str) -> str:
    """Return the name of this process as a worker: unlike that of any other, even where hosts and process ids repeat."""
    return f"{role}@{socket.gethostname()}:{os.getpid()}-{secrets.token_hex(4)}"


class Presence:
    """The locks that this process holds, and those of its neighbours; without a directory it shows and sees nothing."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._held: dict[Path, int] = {}

    def show(self, name: str) -> None:
        """Hold the lock of ``name`` until :meth:`leave`, or until the process ends."""
        if self._directory is None:
            return
        path = self._directory / name
        self._directory.mkdir(mode=0o700, exist_ok=True)  # the last neighbour may just have left
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._held[path] = descriptor

    def find_dead(self) -> list[str]:
        """Return the names of workers of this machine that ended without a word in the last minutes."""
        if self._directory is None:
            return []
        for path in self._held:  # whoever clears old files away sees that these are in use
            with contextlib.suppress(OSError):
                os.utime(path)
        try:
            others = sorted(set(self._directory.iterdir()) - set(self._held))
            return [path.name for path in others if _is_dead(path)]
        except OSError:  # somebody removed it all the same: leases tell of the dead
            return []

    def leave(self) -> None:
        """Let go, after the last run has ended."""
        for path, descriptor in self._held.items():
            path.unlink(missing_ok=True)
            os.close(descriptor)
        self._held.clear()
        if self._directory is not None:
            with contextlib.suppress(OSError):  # others are there
                self._directory.rmdir()


@contextmanager
def being_present(settings: Settings, *names: str) -> Iterator[Presence]:
    """Show that the workers ``names`` live until the block ends; where that cannot be shown, leases do alone."""
    presence = Presence(_open_directory(settings))
    try:
        for name in names:
            presence.show(name)
    except OSError:  # no room, or not ours to write
        logger.warning(UNSEEN, tempfile.gettempdir())
    try:
        yield presence
    finally:
        presence.leave()


def _open_directory(settings: Settings) -> Path | None:
    """Return the directory that workers of this user, machine and database share."""
    url = make_url(settings.resolved_database_url).render_as_string(hide_password=True)
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    directory = Path(tempfile.gettempdir()) / f"farzi-workers-{os.getuid()}-{digest}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        is_ours = directory.lstat().st_uid == os.getuid() and not directory.is_symlink()
    except OSError:
        is_ours = False
    if not is_ours:
        logger.warning(UNSEEN, directory)
    return directory if is_ours else None


def _is_dead(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # left in good order
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if time.time() - os.fstat(descriptor).st_mtime > REMEMBERED_S:
            path.unlink(missing_ok=True)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
