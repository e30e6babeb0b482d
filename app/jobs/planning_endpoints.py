"""``/v1/jobs/estimate`` and ``/v1/jobs/compare``: before a job is submitted, and after several are done."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from app.dependencies import AuthenticatedRoute, InServices, JobPost, JobReader
from app.idempotency import Answer
from app.jobs.comparing import compare_jobs
from app.jobs.estimates import estimate
from app.jobs.schemas import ComparisonOut, EstimateBasisOut, EstimateOut, JobCreate
from app.jobs.states import QUEUE_OF_KIND
from app.jobs.submitting import check_submission

IDS_FORM = "^[^,]{1,64}(,[^,]{1,64}){1,9}$"

router = APIRouter(prefix="/v1/jobs", tags=["Jobs"], route_class=AuthenticatedRoute)


@router.post("/estimate", response_model=EstimateOut)
def estimate_job(body: JobCreate, post: JobPost, services: InServices) -> Response:
    """Say what a job would take. The body is that of `POST /v1/jobs`, refused for the same reasons; nothing is queued.

    Seconds are of running, without waiting for a worker. `seconds_p90` is what nine in ten jobs stay below. `basis` says what
    the figures rest on: speeds that a worker measured on its machine, or those of a reference machine, which may be several
    times off; and how many finished jobs corrected them.
    """

    def answer(session: Session) -> Answer:
        submission = check_submission(session, post.tenant_id, body)
        found = estimate(session, submission.kind, submission.effective, submission.data)
        exceeds = services.quotas.would_exceed_quota(
            session,
            post.tenant_id,
            QUEUE_OF_KIND[submission.kind],
            seconds=found.seconds.p50,
            output_bytes=found.output_bytes,
        )
        scale = found.seconds.p50 / found.prediction.seconds
        out = EstimateOut(
            seconds_p50=found.seconds.p50,
            seconds_p90=found.seconds.p90,
            peak_memory_bytes=found.memory_bytes,
            output_bytes=found.output_bytes,
            would_exceed_quota=exceeds,
            phases={name: seconds * scale for name, seconds in found.prediction.phases.items()},
            basis=EstimateBasisOut(
                speeds=found.machine.source,
                machine=found.machine.name,
                measured_at=found.machine.measured_at,
                num_finished_jobs=found.num_outcomes,
                relative_error=found.seconds.p90 / found.seconds.p50 - 1.0,
            ),
        )
        return Answer(200, out)

    return post.once(answer)


@router.get("/compare")
def compare(
    ids: Annotated[
        str,
        Query(
            max_length=1000,
            pattern=IDS_FORM,
            description="2 to 10 different jobs, separated by commas.",
        ),
    ],
    caller: JobReader,
    services: InServices,
) -> ComparisonOut:
    """Put jobs next to each other: the fields of their specs that differ, and every metric, in the order of `ids`."""
    with services.reading_sessions() as session:
        return compare_jobs(session, caller.tenant_id, ids.split(","))
