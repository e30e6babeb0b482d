"""Publish the result of a job, once: first every byte is stored, then one transaction makes all of it visible."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from app.clock import database_now
from app.jobs.endings import succeed
from app.jobs.leases import Lease, lock_held
from app.jobs.models import Artifact, Manifest
from app.storage import ObjectStore


@dataclass(frozen=True)
class StoredArtifact:
    """A file of the result whose bytes are in the object store."""

    name: str
    media_type: str
    size_bytes: int
    sha256: str
    object_key: str

    @property
    def entry(self) -> dict[str, Any]:
        """What the manifest says of the file."""
        return {"media_type": self.media_type, "size_bytes": self.size_bytes, "sha256": self.sha256}


def store_artifact(store: ObjectStore, lease: Lease, name: str, path: Path, media_type: str) -> StoredArtifact:
    """Upload one file under the lease's own prefix, where a stale run can disturb nobody."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    key = f"jobs/{lease.job_id}/{lease.token}/artifacts/{name}"
    store.put_file(key, path, sha256=sha256)
    return StoredArtifact(name, media_type, path.stat().st_size, sha256, key)


def publish(session: Session, lease: Lease, manifest: dict[str, Any], artifacts: list[StoredArtifact]) -> list[str]:
    """Make the job succeeded and its result visible, in the caller's transaction.

    Returns:
        Keys of the checkpoints, which nobody needs once the transaction is committed.

    Raises:
        LeaseLostError: the job is not this run's any more; nothing is published.
    """
    job = lock_held(session, lease)
    now = database_now(session)
    session.add(Manifest(job_id=job.id, lease_token=lease.token, content=manifest, published_at=now))
    session.add_all(Artifact(job_id=job.id, **vars(artifact)) for artifact in artifacts)
    checkpoints = [key for key in (job.checkpoint_key, job.previous_checkpoint_key) if key is not None]
    job.checkpoint_key = job.previous_checkpoint_key = None
    job.metrics = {**job.metrics, **manifest.get("summary", {})}
    succeed(session, job, {"artifacts": sorted(artifact.name for artifact in artifacts)}, at=now)
    return checkpoints
