"""Whatever a part of the service that says nothing keeps waiting, it is not the reaper, nor the end of the process."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.db import make_engine, make_session_factory, new_id
from app.jobs.leases import claim
from app.jobs.models import Job, Run
from app.jobs.states import JobStatus, RunOutcome
from app.queue import make_sender, make_sending_celery
from app.settings import Settings
from app.storage import StorageError, make_object_store
from app.storage_s3 import HURRIED
from tests.services.rows import add_dataset, add_job
from worker.maintenance import Maintenance
from worker.presence import Presence

pytestmark = pytest.mark.service
Sessions = sessionmaker[Session]


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """The kernel takes connections, and nobody reads them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


def settings_of(silent: socket.socket, **fields: object) -> Settings:
    address = f"127.0.0.1:{silent.getsockname()[1]}"
    keys = {"s3_access_key_id": "id", "s3_secret_access_key": "key"}
    return Settings(s3_endpoint_url=f"http://{address}", s3_bucket="farzi", **keys, **fields)  # type: ignore[arg-type]


def test_a_store_and_a_broker_that_say_nothing_do_not_keep_the_reaper(postgres_url: str, silent: socket.socket) -> None:
    settings = settings_of(silent, database_url=postgres_url, lease_s=2.0, heartbeat_s=0.2)
    engine = make_engine(settings)
    sessions = make_session_factory(engine)
    with sessions.begin() as session:
        job_id = add_job(session).id
        _add_remains(session)
    with socket.create_server(("127.0.0.1", 0)) as silent_broker:
        silent_broker.settimeout(30)
        celery = make_sending_celery(f"redis://127.0.0.1:{silent_broker.getsockname()[1]}/0")
        maintenance = Maintenance(settings, sessions, Presence(None), make_sender(celery))
        maintenance.start()
        kept = [silent.accept(), silent_broker.accept()]  # sweeper and relay wait for an answer
        with sessions.begin() as session:
            assert claim(session, job_id, "test", lease_s=0.1, max_runs=3) is not None
        _wait_until_queued(sessions, job_id)
        maintenance.stop(0.0)
        for connection, _ in kept:
            connection.close()
        celery.close()
    engine.dispose()


def test_a_hurried_store_gives_a_silent_server_up(silent: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HURRIED, "read_timeout", 0.1)
    store = make_object_store(settings_of(silent), is_hurried=True)
    with pytest.raises(StorageError):
        store.stat("jobs/a/1/b")
    store.close()


def _add_remains(session: Session) -> None:
    """Add a run whose objects are to be removed."""
    long_ago = database_now(session) - timedelta(hours=2)
    job = add_job(session, add_dataset(session), status=JobStatus.FAILED, ended_at=long_ago, lease_token=1)
    times = {"started_at": long_ago, "ended_at": long_ago}
    session.add(Run(id=new_id("run"), job_id=job.id, number=1, worker="test", outcome=RunOutcome.FAILED, **times))


def _wait_until_queued(sessions: Sessions, job_id: str) -> None:
    give_up_at = time.monotonic() + 15  # less than store and broker are waited for
    while True:
        with sessions() as session:
            if session.get_one(Job, job_id).status == JobStatus.QUEUED:
                return
        assert time.monotonic() < give_up_at, "the lease ran out, and nobody took the job"
        time.sleep(0.05)
