"""The checker finds what is wrong: each promise is broken by hand in a database that a real job has just left whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from app.storage import OBJECTS_DIRECTORY
from tests.chaos.cluster import Cluster, running_embedded_cluster
from tests.chaos.event_path import follow
from tests.chaos.evidence import collect
from tests.chaos.invariants import Expectations, find_violations
from tests.chaos.workload import Workload


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Expectations]]:
    """An embedded service that has done two equal distillations, and stopped."""
    with running_embedded_cluster(tmp_path_factory.mktemp("finished")) as cluster:
        work = Workload(cluster, outer_steps=1)
        first, second = work.distil(), work.distil()
        cluster.start("worker.supervisor")
        work.wait_until_ended()
        cluster.stop()
        cluster.processes.clear()
        yield cluster, Expectations(work.accepted, reference=first, equals_reference=[second])


def violations_after(finished: tuple[Cluster, Expectations], *statements: str) -> list[str]:
    """Break something, look, and mend it again."""
    cluster, expected = finished
    database = Path(cluster.settings.resolved_database_url.removeprefix("sqlite:///"))
    cluster.engine.dispose()
    whole = database.read_bytes()
    try:
        with cluster.engine.begin() as connection:
            connection.execute(text("PRAGMA defer_foreign_keys = ON"))
            # The database would refuse some of it, and the checker is to see it all the same.
            for name in connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                connection.execute(text(f"DROP TRIGGER {name}"))
            for statement in statements:
                connection.execute(text(statement))
        return find_violations(cluster.settings, expected)
    finally:
        cluster.engine.dispose()
        for extra in database.parent.glob(f"{database.name}-*"):
            extra.unlink()
        database.write_bytes(whole)


def test_nothing_is_wrong_with_a_service_that_was_left_alone(finished: tuple[Cluster, Expectations]) -> None:
    assert violations_after(finished) == []


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("DELETE FROM job_events WHERE seq = 2", "not dense"),
        ("UPDATE jobs SET next_event_seq = next_event_seq + 1", "the next event would be"),
        ("UPDATE job_events SET at = '2020-01-01 00:00:00.000000' WHERE seq = 3", "order of their times"),
        ("UPDATE job_events SET type = 'job.failed' WHERE type = 'job.succeeded'", "its row says succeeded"),
        ("UPDATE jobs SET status = 'running'", "never ended"),
        ("UPDATE jobs SET status = 'failed', error_code = 'internal'", "failed with internal"),
        ("UPDATE jobs SET lease_expires_at = updated_at", "has a lease until"),
        ("UPDATE jobs SET lease_token = lease_token + 1", "do not go up to the token"),
        ("UPDATE jobs SET stop_requested = 'pause'", "still asked to pause"),
        ("UPDATE runs SET ended_at = NULL", "runs without an end"),
        ("UPDATE runs SET outcome = 'lost'", "0 runs of a succeeded job"),
        ("DELETE FROM manifests", "has 0 manifests"),
        ("UPDATE manifests SET lease_token = 7", "the manifest is of token 7"),
        ("UPDATE artifacts SET size_bytes = size_bytes + 1 WHERE name = 'report.json'", "stored bytes are counted"),
        ("UPDATE datasets SET deleted_at = updated_at", None),
        ("UPDATE artifacts SET sha256 = 'f' WHERE name = 'report.json'", "the manifest and the artifacts differ"),
        (
            "UPDATE artifacts SET object_key = 'jobs/x/1/artifacts/report.json' WHERE name = 'report.json'",
            "not of the published",
        ),
        ("INSERT INTO outbox (job_id, queue, created_at) SELECT id, queue, created_at FROM jobs", None),
    ],
)
def test_each_broken_promise_is_found(finished: tuple[Cluster, Expectations], statement: str, finding: str | None) -> None:
    found = violations_after(finished, statement)
    assert [sentence for sentence in found if finding in sentence] if finding else found == []


def test_lost_jobs_open_jobs_and_double_answers_are_found(finished: tuple[Cluster, Expectations]) -> None:
    cluster, expected = finished
    wrong = replace(expected, accepted=["job_lost"], answers={"key": ["job_a", "job_b"], "other": ["job_a"]})
    found = " ".join(find_violations(cluster.settings, wrong))
    assert "job_lost: accepted, and lost" in found
    assert "key was answered with 2 jobs" in found
    assert "job_a is the answer to 2 keys" in found
    queued = violations_after(
        finished,
        "INSERT INTO outbox (job_id, queue, created_at) SELECT id, queue, created_at FROM jobs",
        "UPDATE jobs SET status = 'queued'",
    )
    assert any("the outbox has a message for an open job" in sentence for sentence in queued)


@pytest.mark.parametrize("change", ["other bytes", "gone"])
def test_other_bytes_are_found(finished: tuple[Cluster, Expectations], change: str) -> None:
    cluster, expected = finished
    keys = {
        row["name"]: row["object_key"]
        for row in collect(cluster.settings).of("artifacts", next(iter(expected.equals_reference)))
    }
    path = cluster.data_dir / OBJECTS_DIRECTORY / keys["synthetic.safetensors"]
    whole = path.read_bytes()
    try:
        path.unlink() if change == "gone" else path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        found = find_violations(cluster.settings, expected)
    finally:
        path.write_bytes(whole)
    assert any("is published, and gone" in sentence or "has other bytes than published" in sentence for sentence in found)
    assert any("not that of a job that nothing interrupted" in sentence for sentence in found)


def test_an_orphan_is_found(finished: tuple[Cluster, Expectations]) -> None:
    cluster, expected = finished
    program = [sys.executable, "-c", "import time; time.sleep(60)", "worker.run", "job_orphan", "3"]
    orphan = subprocess.Popen(program, env={"FARZI_DATA_DIR": str(cluster.data_dir)})
    try:
        found = find_violations(cluster.settings, expected)
    finally:
        orphan.kill()
        orphan.wait()
    assert [f"an orphan process {orphan.pid} runs job_orphan"] == found


def test_a_path_that_is_not_allowed_is_named() -> None:
    def events(*types: str) -> list[dict[str, object]]:
        return [{"seq": number, "type": name, "data": {}} for number, name in enumerate(types, start=1)]

    assert list(follow(events("job.queued", "job.started", "run.lost", "job.started", "job.succeeded"), "succeeded")) == []
    assert list(follow(events("job.queued", "job.started", "run.lost"), "queued")) == []
    twice = list(follow(events("job.queued", "job.started", "job.started"), "running"))
    assert twice == ["job.started (seq 3) of a job that is running"]
    after = list(follow(events("job.queued", "job.cancelled", "checkpoint.written"), "cancelled"))
    assert after == ["checkpoint.written (seq 3) of a job that is cancelled"]
