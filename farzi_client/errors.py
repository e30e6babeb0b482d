"""What can go wrong between a caller and the service; every message says what to change."""

# ruff: noqa: N818  (these name what happened, as the service's own words do: a job that failed is a JobFailed)

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farzi_client.models import Dataset, Job


class FarziClientError(Exception):
    """Base of everything this package raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One reason why a request was refused: JSON pointer into the body, and what to change there."""

    pointer: str
    detail: str


class ApiError(FarziClientError):
    """The service answered with an error (``application/problem+json``).

    Attributes:
        code: stable name of the error, for programs.
        status: HTTP status.
        detail: sentence for people.
        request_id: what the operators of the service find the request by.
        retryable: whether the same request may succeed later.
        problems: the fields at fault, where there are any.
        retry_after_s: how long the service asked to wait, in seconds.
    """

    def __init__(
        self,
        *,
        code: str,
        status: int,
        detail: str,
        request_id: str | None = None,
        retryable: bool = False,
        problems: tuple[Problem, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        untold = [problem for problem in problems if problem.detail not in detail]
        listed = "; ".join(f"{problem.pointer or '/'}: {problem.detail}" for problem in untold)
        super().__init__(f"{detail} ({listed})" if listed else detail)
        self.code = code
        self.status = status
        self.detail = detail
        self.request_id = request_id
        self.retryable = retryable
        self.problems = problems
        self.retry_after_s = retry_after_s


class BadRequest(ApiError):
    """400: the request itself cannot be read."""


class NotAuthenticated(ApiError):
    """401: the key is missing, unknown, expired or revoked."""


class NotAllowed(ApiError):
    """403: the key is good, and lacks the scope or the quota for this."""


class NotFound(ApiError):
    """404 and 410: there is nothing of that id or path, or no longer."""


class Conflict(ApiError):
    """409 and 412: the state of the thing does not allow this, now or any more; ``code`` says which state."""


class TooLarge(ApiError):
    """413: more bytes than the service takes."""


class InvalidRequest(ApiError):
    """405, 406, 411, 414 to 417, 422, 428 and 431: read and refused; ``problems`` names the fields at fault."""


class RateLimited(ApiError):
    """408 and 429: too much at once, or too slow; ``retry_after_s`` says how long to wait."""


class ServiceFailed(ApiError):
    """5xx: the service, or something in front of it, cannot answer now; ``request_id`` finds the reason in its log."""


_CLASSES: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotFound,
    408: RateLimited,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    413: TooLarge,
    429: RateLimited,
}


def error_class(status: int) -> type[ApiError]:
    """Return the exception for an HTTP status."""
    if status >= 500:
        return ServiceFailed
    return _CLASSES.get(status, InvalidRequest if status >= 400 else ApiError)


class NoApiKey(FarziClientError):
    """There is no key, or what stands in its place cannot be one."""


class ConnectionFailed(FarziClientError):
    """The service cannot be reached, or dropped the connection more often than the client retries."""


class UploadInterrupted(ConnectionFailed):
    """An upload in parts broke off; what has arrived stays for a day.

    Attributes:
        dataset_id: data set that still awaits its upload.
        upload_id: the upload, to be gone on with by ``client.datasets.resume_upload``.
    """

    def __init__(self, dataset_id: str, upload_id: str) -> None:
        super().__init__(
            f"the upload broke off; go on with 'farzi dataset upload FILE --resume {dataset_id}/{upload_id}', or with "
            f"client.datasets.resume_upload({dataset_id!r}, FILE)"
        )
        self.dataset_id = dataset_id
        self.upload_id = upload_id


class UnexpectedAnswer(FarziClientError):
    """What answers at the URL does not speak this API: a proxy's page, another program, another version."""


class IntegrityError(FarziClientError):
    """Bytes that arrived are not the bytes that were published; nothing was kept."""


class MissingExtra(FarziClientError, ImportError):
    """What was asked for needs a library that is not installed; the message names the extra that installs it."""


class WebhookNotVerified(FarziClientError):
    """A webhook is not from the service, was changed on its way, or is too old; do not act on it."""


class WaitTimeout(FarziClientError, TimeoutError):
    """The job or data set was not done in time; it goes on."""


class DatasetInvalid(FarziClientError):
    """Validation refused the data set.

    Attributes:
        dataset: the data set as it is now; ``client.datasets.report`` has every bad row.
    """

    def __init__(self, message: str, dataset: Dataset) -> None:
        super().__init__(message)
        self.dataset = dataset


class JobFailed(FarziClientError):
    """The job ended without a result: it failed or was cancelled.

    Attributes:
        job: the job as it is now.
    """

    def __init__(self, job: Job) -> None:
        reason = f"{job.error.message} ({job.error.code})" if job.error else "no result was published"
        super().__init__(f"job {job.id} {job.status}: {reason}")
        self.job = job
