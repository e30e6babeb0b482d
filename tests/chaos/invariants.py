"""What must hold once the faults are over and every process has stopped: each check returns a sentence for what does not.

Written from the promises in docs/operations.md, not from the code that keeps them; nothing here imports the service's states.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.settings import Settings
from tests.chaos.event_path import follow
from tests.chaos.evidence import Evidence, ObjectReader, Row, collect, digest, object_reader
from tests.chaos.process_table import find_runs
from tests.chaos.quotas import find_differences

ENDED = {"succeeded", "failed", "cancelled"}
PUBLISHING_KINDS = {"distillation", "evaluation"}
# Files whose bytes follow from data and spec alone, whatever interrupted the job on its way.
REPRODUCIBLE = ("synthetic.safetensors", "sequences.jsonl", "vocabulary.json")


@dataclass(frozen=True)
class Expectations:
    """What the one who injected the faults knows.

    Attributes:
        accepted: ids of jobs that a client was told of; none may be missing, none may be open.
        open: ids of jobs that may be unfinished.
        reference: a job that was never disturbed, whose results those in ``equals_reference`` must have.
        equals_reference: ids of jobs with the same data and spec.
        may_fail: error codes that jobs may have failed with.
        answers: what idempotency keys were answered with, in the order in which the answers came: ids of jobs.
    """

    accepted: Iterable[str] = ()
    open: Iterable[str] = ()
    reference: str | None = None
    equals_reference: Iterable[str] = ()
    may_fail: frozenset[str] = frozenset()
    answers: Mapping[str, list[str]] = field(default_factory=dict)


def find_violations(settings: Settings, expected: Expectations) -> list[str]:
    """Return everything that is not as promised."""
    evidence = collect(settings)
    with object_reader(settings) as objects:
        return [
            *_missing(evidence, expected),
            *(f"{job['id']}: {problem}" for job in evidence.jobs for problem in _of_job(evidence, job, expected)),
            *_of_objects(evidence, objects),
            *_of_data_sets(evidence, objects),
            *_of_results(evidence, objects, expected),
            *_of_answers(expected),
            *find_differences(settings, evidence, objects),
            *(f"an orphan process {run.pid} runs {run.job_id}" for run in find_runs(settings.data_dir)),
        ]


def _missing(evidence: Evidence, expected: Expectations) -> Iterator[str]:
    known = {job["id"] for job in evidence.jobs}
    yield from (f"{job_id}: accepted, and lost" for job_id in expected.accepted if job_id not in known)
    waiting = {message["job_id"] for message in evidence.tables["outbox"]}
    ended = {job["id"] for job in evidence.jobs if job["status"] in ENDED}
    yield from (f"{job_id}: the outbox has a message for an open job" for job_id in waiting - ended - set(expected.open))


def _of_job(evidence: Evidence, job: Row, expected: Expectations) -> Iterator[str]:
    events, runs = evidence.of("job_events", job["id"]), evidence.of("runs", job["id"])
    if job["status"] not in ENDED and job["id"] not in set(expected.open):
        yield f"never ended: {job['status']}"
    if job["status"] == "failed" and job["error_code"] not in expected.may_fail:
        yield f"failed with {job['error_code']}: {job['error_message']}"
    yield from _of_events(job, events)
    yield from _of_runs(job, runs)
    yield from _of_publication(evidence, job, runs)


def _of_events(job: Row, events: list[Row]) -> Iterator[str]:
    numbers = [event["seq"] for event in events]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"events are not dense: {numbers}"
    if job["next_event_seq"] != len(numbers) + 1:
        yield f"the next event would be {job['next_event_seq']} after {len(numbers)}"
    times = [event["at"] for event in events]
    if times != sorted(times):
        yield "events are not in the order of their times"
    yield from follow(events, job["status"])


def _of_runs(job: Row, runs: list[Row]) -> Iterator[str]:
    if [run["number"] for run in runs] != list(range(1, job["lease_token"] + 1)):
        yield f"runs {[run['number'] for run in runs]} do not go up to the token {job['lease_token']}"
    is_leased = job["status"] in {"running", "cancelling"}
    if (job["lease_expires_at"] is not None) != is_leased:
        yield f"a job that is {job['status']} has a lease until {job['lease_expires_at']}"
    unended = [run["number"] for run in runs if run["ended_at"] is None or run["outcome"] is None]
    if unended != ([job["lease_token"]] if is_leased else []):
        yield f"a job that is {job['status']} has runs without an end: {unended}"
    spans = [(run["started_at"], run["ended_at"]) for run in runs if run["ended_at"] is not None]
    if any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans)):
        yield "two runs held the job at the same time"
    if job["status"] in ENDED and job["stop_requested"] is not None:
        yield f"an ended job is still asked to {job['stop_requested']}"


def _of_publication(evidence: Evidence, job: Row, runs: list[Row]) -> Iterator[str]:
    manifests, artifacts = evidence.of("manifests", job["id"]), evidence.of("artifacts", job["id"])
    succeeded = [run["number"] for run in runs if run["outcome"] == "succeeded"]
    should = job["status"] == "succeeded" and job["kind"] in PUBLISHING_KINDS
    if len(manifests) != int(should) or bool(artifacts) != should:
        yield f"a {job['kind']} that is {job['status']} has {len(manifests)} manifests and {len(artifacts)} artifacts"
    if len(succeeded) != int(job["status"] == "succeeded"):
        yield f"{len(succeeded)} runs of a {job['status']} job succeeded"
    for manifest in manifests:
        if not manifest["lease_token"] == job["lease_token"] == (runs[-1]["number"] if runs else None):
            yield f"the manifest is of token {manifest['lease_token']}, the highest is {job['lease_token']}"
        listed = {artifact["name"]: artifact["sha256"] for artifact in artifacts if artifact["name"] != "manifest.json"}
        if listed != {name: entry["sha256"] for name, entry in manifest["content"]["files"].items()}:
            yield "the manifest and the artifacts differ"
        prefix = f"jobs/{job['id']}/{manifest['lease_token']}/artifacts/"
        yield from (
            f"{artifact['object_key']} is not of the published run"
            for artifact in artifacts
            if artifact["object_key"] != prefix + artifact["name"]
        )


def _of_objects(evidence: Evidence, objects: ObjectReader) -> Iterator[str]:
    for artifact in evidence.tables["artifacts"]:
        content, where = objects.read(artifact["object_key"]), f"{artifact['job_id']}: {artifact['name']}"
        if content is None:
            yield f"{where} is published, and gone"
        elif (len(content), digest(content)) != (artifact["size_bytes"], artifact["sha256"]):
            yield f"{where} has other bytes than published"


def _of_data_sets(evidence: Evidence, objects: ObjectReader) -> Iterator[str]:
    for row in evidence.tables["datasets"]:
        if row["deleted_at"] is None and row["content_key"] is not None and row["status"] in {"ready", "invalid"}:
            content = objects.read(row["content_key"])
            if content is None or digest(content) != row["sha256"]:
                yield f"{row['id']}: the upload is gone or has other bytes than were promised"
        if row["status"] == "ready" and (row["canonical_key"] is None or objects.read(row["canonical_key"]) is None):
            yield f"{row['id']}: ready, without the data that its jobs would read"


def _of_results(evidence: Evidence, objects: ObjectReader, expected: Expectations) -> Iterator[str]:
    if expected.reference is None:
        return
    wanted = reproducible_results(evidence, objects, expected.reference)
    for job_id in expected.equals_reference:
        if evidence.of("manifests", job_id) and reproducible_results(evidence, objects, job_id) != wanted:
            yield f"{job_id}: its result is not that of a job that nothing interrupted"


def reproducible_results(evidence: Evidence, objects: ObjectReader, job_id: str) -> dict[str, str | None]:
    """Return the digests of the files that depend on data and spec alone."""
    keys = {artifact["name"]: artifact["object_key"] for artifact in evidence.of("artifacts", job_id)}
    found = {name: objects.read(keys[name]) for name in REPRODUCIBLE if name in keys}
    return {name: None if content is None else digest(content) for name, content in found.items()}


def _of_answers(expected: Expectations) -> Iterator[str]:
    for key, ids in expected.answers.items():
        if len(set(ids)) > 1:
            yield f"the idempotency key {key} was answered with {len(set(ids))} jobs"
    made = Counter(job_id for ids in expected.answers.values() for job_id in set(ids))
    yield from (f"{job_id} is the answer to {count} keys" for job_id, count in made.items() if count > 1)


def summarise(evidence: Evidence) -> dict[str, Any]:
    """Return how many jobs and runs there were, by how they ended."""
    return {
        "jobs": dict(Counter(job["status"] for job in evidence.jobs)),
        "runs": dict(Counter(run["outcome"] for run in evidence.tables["runs"])),
    }
