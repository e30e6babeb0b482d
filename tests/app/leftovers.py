"""Runs that have begun, and objects that they might have stored."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from app.jobs.leases import Lease, claim
from app.storage import ObjectStore


def begin(session_factory: sessionmaker[Session], job_id: str) -> Lease:
    with session_factory.begin() as session:
        lease = claim(session, job_id, "tests", lease_s=60, max_runs=3)
    assert lease is not None
    return lease


def put(store: ObjectStore, key: str, directory: Path) -> str:
    """Store something under ``key``, and return that."""
    path = directory / "content"
    path.write_bytes(b"content")
    store.put_file(key, path)
    return key
