"""Before a job: what it would take. After several: next to each other."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from app.clock import database_now
from app.jobs.estimates import MEASURED_ERROR, REFERENCE_ERROR, correct, record_outcome, store_calibration
from app.jobs.models import EstimateOutcome, Job
from app.services import Services
from farzi_core.costs import REFERENCE, Calibration
from tests.app.driving import SMALL_SPEC, claim_job, code_of, make_ready, say_something, submit, succeed


def ask(client: TestClient, dataset_id: str, spec: dict[str, Any] = SMALL_SPEC) -> dict[str, Any]:
    answer = client.post("/v1/jobs/estimate", json={"kind": "distillation", "dataset_id": dataset_id, "spec": spec})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def calibrate(services: Services, *, slower: float = 1.0, machine: str = "a machine") -> None:
    values = REFERENCE.to_json()
    for speed in values["speeds"].values():
        for name in ("launch_s", "product_s", "element_s"):
            speed[name] *= slower
    with services.sessions.begin() as session:
        now = database_now(session)
        store_calibration(session, machine, "a host", Calibration.from_json(values), at=now)


def test_an_estimate_says_what_it_rests_on_and_queues_nothing(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    found = ask(client, dataset_id)
    assert found["basis"] == {
        "speeds": "reference",
        "machine": None,
        "measured_at": None,
        "num_finished_jobs": 0,
        "relative_error": pytest.approx(REFERENCE_ERROR),
    }
    assert found["seconds_p90"] == pytest.approx((1 + REFERENCE_ERROR) * found["seconds_p50"])
    assert sum(found["phases"].values()) == pytest.approx(found["seconds_p50"])
    assert set(found["phases"]) == {"startup", "teacher", "distillation", "evaluation", "artifacts"}
    assert found["peak_memory_bytes"] > 2**28
    assert found["output_bytes"] > 10_000
    assert found["would_exceed_quota"] is False
    assert client.get("/v1/jobs").json()["data"] == []


def test_a_measured_machine_changes_the_figures(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    reference = ask(client, dataset_id)
    calibrate(services, slower=3.0)
    measured = ask(client, dataset_id)
    assert measured["basis"]["speeds"] == "measured"
    assert measured["basis"]["machine"] == "a machine"
    assert measured["phases"]["distillation"] == pytest.approx(3 * reference["phases"]["distillation"])
    assert measured["seconds_p90"] == pytest.approx((1 + MEASURED_ERROR) * measured["seconds_p50"])


def test_outer_steps_take_equally_long_and_random_sequences_are_validated_once(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)

    def distillation_s(num_steps: int, *baselines: str) -> float:
        spec = {**SMALL_SPEC, "outer": {"num_steps": num_steps, "pool_size": 0}, "evaluation": {"baselines": baselines}}
        return float(ask(client, dataset_id, spec)["phases"]["distillation"])

    # The start is validated once as well, which takes as long.
    validation_s = distillation_s(160, "random") - distillation_s(160)
    steps_s = distillation_s(160) - validation_s
    assert 0 < validation_s < steps_s
    assert distillation_s(3200) == pytest.approx(20 * steps_s + validation_s)
    assert distillation_s(3200, "random") == pytest.approx(20 * steps_s + 2 * validation_s)


def finish(client: TestClient, services: Services, dataset_id: str, directory: Path, seconds: float) -> str:
    job_id = submit(client, dataset_id)
    succeed(services, claim_job(services, job_id), directory, {"report.json": b"{}"})
    with services.sessions.begin() as session:
        job = session.get_one(Job, job_id)
        record_outcome(
            session,
            job,
            "a machine",
            seconds=seconds,
            memory_bytes=2**30,
            output_bytes=5_000,
            at=database_now(session),
        )
    return job_id


def test_finished_jobs_correct_it(client: TestClient, services: Services, tmp_path: Path) -> None:
    dataset_id = make_ready(client, services)
    calibrate(services)
    before = ask(client, dataset_id)
    for _ in range(5):
        finish(client, services, dataset_id, tmp_path, 2 * before["seconds_p50"])
    after = ask(client, dataset_id)
    assert after["basis"]["num_finished_jobs"] == 5
    # One pseudo-observation at the prediction holds the mean back.
    assert after["seconds_p50"] == pytest.approx(2 ** (5 / 6) * before["seconds_p50"])
    assert after["basis"]["relative_error"] < before["basis"]["relative_error"]
    assert after["output_bytes"] < before["output_bytes"]
    calibrate(services, slower=2.0)
    assert ask(client, dataset_id)["basis"]["num_finished_jobs"] == 0, "other speeds, other corrections"


def test_outcomes_go_with_their_job(client: TestClient, services: Services, tmp_path: Path) -> None:
    job_id = finish(client, services, make_ready(client, services), tmp_path, 10.0)
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    with services.reading_sessions() as session:
        assert session.scalars(select(EstimateOutcome)).all() == []


def test_corrections() -> None:
    assert correct([], 0.5).p50 == 1.0
    assert correct([], 0.5).p90 == pytest.approx(1.5)
    many = correct([2.0] * 1000, 0.5)
    assert many.p50 == pytest.approx(2.0, rel=0.01)
    assert many.p90 == pytest.approx(2.0, rel=0.05)
    scattered = correct([1.0, 4.0] * 500, 0.5)
    assert scattered.p50 == pytest.approx(2.0, rel=0.01)
    assert scattered.p90 == pytest.approx(2.0 * math.exp(1.2816 * math.log(2)), rel=0.01)


def test_an_estimate_is_refused_for_the_reasons_a_job_is(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    body = {"kind": "distillation", "dataset_id": dataset_id, "spec": {"preset": "fast"}}
    assert code_of(client.post("/v1/jobs/estimate", json=body), 422) == "invalid_spec"
    assert code_of(client.post("/v1/jobs/estimate", json=body | {"dataset_id": "ds_0"}), 404) == "dataset_not_found"
    evaluation = {"kind": "evaluation", "job_id": submit(client, dataset_id)}
    assert code_of(client.post("/v1/jobs/estimate", json=evaluation), 409) == "job_not_succeeded"
    assert code_of(client.post("/v1/jobs/estimate", json={}), 422) == "invalid_request"


def test_an_evaluation_is_estimated_too(client: TestClient, services: Services, tmp_path: Path) -> None:
    job_id = submit(client, make_ready(client, services))
    succeed(services, claim_job(services, job_id), tmp_path, {})
    few, many = (
        client.post("/v1/jobs/estimate", json={"kind": "evaluation", "job_id": job_id, "spec": {"num_seeds": seeds}}).json()
        for seeds in (1, 10)
    )
    assert few["phases"]["distillation"] == few["phases"]["teacher"] == 0
    assert few["phases"]["evaluation"] < many["phases"]["evaluation"]


def test_jobs_next_to_each_other(client: TestClient, services: Services, other_tenant: TestClient, tmp_path: Path) -> None:
    dataset_id = make_ready(client, services)
    first = submit(client, dataset_id)
    second = submit(
        client, dataset_id, spec={**SMALL_SPEC, "seed": 3, "synthetic": {"num_sequences": 5, "sequence_length": 20}}
    )
    lease = claim_job(services, first)
    say_something(services, lease)
    succeed(services, lease, tmp_path, {"report.json": b"12345"})
    found = client.get("/v1/jobs/compare", params={"ids": f"{first},{second}"}).json()
    assert [job["id"] for job in found["jobs"]] == [first, second]
    assert found["spec"] == {"seed": [0, 3], "synthetic.num_sequences": [10, 5]}
    assert found["metrics"] == {"outer_loss": [3.0, None], "ratio": [0.9, None]}
    assert [job["size_bytes"] for job in found["jobs"]] == [5, 0]
    assert found["jobs"][0]["seconds"] >= 0
    assert found["jobs"][1]["seconds"] is None
    for ids in (first, f"{first},{first}", ",".join([first] * 11), ""):
        assert code_of(client.get("/v1/jobs/compare", params={"ids": ids}), 422) == "invalid_request"
    assert code_of(client.get("/v1/jobs/compare"), 422) == "invalid_request"
    assert code_of(client.get("/v1/jobs/compare", params={"ids": f"{first},job_0"}), 404) == "job_not_found"
    assert code_of(other_tenant.get("/v1/jobs/compare", params={"ids": f"{first},{second}"}), 404) == "job_not_found"
