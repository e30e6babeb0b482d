"""Compare the object store with the rows, and remove objects that no row will ever name.

A process that is killed between storing an object and the commit that names it leaves the object behind; so does a run that was
frozen for so long that its prefix had been swept before it went on. Objects of data sets and runs that the database does not
know are left alone: the bucket may be another database's too, or newer than one that was restored from a copy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import timedelta
from itertools import islice

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.datasets.models import Dataset, DatasetStatus
from app.jobs.models import Artifact, Job, Run
from app.storage import ObjectStore
from app.uploads.models import UNDER_WAY, Upload

BATCH = 500
# Nothing that is under way leaves an object without its row for so long, and the store's clock may differ.
YOUNG = timedelta(days=1)


def remove_needless_objects(sessions: sessionmaker[Session], store: ObjectStore, *, young: timedelta = YOUNG) -> int:
    """Remove objects that were stored longer than ``young`` ago and that no row needs; return how many there were.

    Cost: lists every object of the service, a request for each thousand, and a few queries for each 500.
    """
    with sessions() as session:
        oldest = database_now(session) - young
    num_removed = 0
    for prefix, find_needless in (("datasets/", _needless_of_datasets), ("jobs/", _needless_of_jobs)):
        keys = iter(item.key for item in store.list_objects(prefix) if item.stored_at < oldest)
        while batch := list(islice(keys, BATCH)):
            with sessions() as session:
                needless = find_needless(session, _by_owner(batch))
            for key in needless:
                store.delete(key)
            num_removed += len(needless)
    return num_removed


def _by_owner(keys: Iterable[str]) -> dict[str, list[str]]:
    """Return the keys by the id in them: of a data set, or of a job."""
    owned: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        owned[key.split("/")[1]].append(key)
    return owned


def _needless_of_datasets(session: Session, owned: dict[str, list[str]]) -> list[str]:
    # Of one that is being validated, the run will name what it has stored.
    settled = select(Dataset.id, Dataset.content_key, Dataset.canonical_key).where(
        Dataset.id.in_(owned), Dataset.status != DatasetStatus.VALIDATING
    )
    kept_uploads = select(Upload.content_key).where(
        Upload.dataset_id.in_(owned), or_(Upload.status.in_(UNDER_WAY), Upload.store_id.is_not(None))
    )
    rows, named = session.execute(settled).all(), set(session.scalars(kept_uploads))
    return [key for row in rows for key in owned[row.id] if key not in {row.content_key, row.canonical_key} | named]


def _needless_of_jobs(session: Session, owned: dict[str, list[str]]) -> list[str]:
    # What other runs left behind is for the sweep of their prefixes.
    rows = session.execute(select(Run.job_id, Run.number).where(Run.job_id.in_(owned), Run.swept_at.is_not(None)))
    swept = {(job_id, number) for job_id, number in rows}
    candidates = [key for job_id, keys in owned.items() for key in keys if _run_of(key) in swept]
    named: Collection[str | None] = {
        *session.scalars(select(Artifact.object_key).where(Artifact.job_id.in_(owned))),
        *session.scalars(select(Job.checkpoint_key).where(Job.id.in_(owned))),
        *session.scalars(select(Job.previous_checkpoint_key).where(Job.id.in_(owned))),
    }
    return [key for key in candidates if key not in named]


def _run_of(key: str) -> tuple[str, int] | None:
    match key.split("/"):
        case [_, job_id, number, *_] if number.isdigit():
            return job_id, int(number)
        case _:
            return None
