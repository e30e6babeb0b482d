"""Expected failures of the service: one catalogue of stable codes, and the exception that carries one; no FastAPI.

``docs/errors.md`` is generated from the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ErrorKind:
    """What every error of one code has in common.

    Attributes:
        status: HTTP status.
        title: the same words for every occurrence.
        advice: what the caller can do.
        retryable: whether the same request may succeed later.
    """

    status: int
    title: str
    advice: str
    retryable: bool = False


ERRORS: dict[str, ErrorKind] = {
    "bad_request": ErrorKind(400, "The request cannot be read", "Send well-formed HTTP, each header and parameter once."),
    "malformed_json": ErrorKind(400, "The body is not JSON", "Correct the JSON at the position the error names."),
    "missing_api_key": ErrorKind(401, "No API key was sent", "Send the header 'Authorization: Bearer fz_...'."),
    "invalid_api_key": ErrorKind(401, "The API key is not known", "Check that the whole key was copied."),
    "expired_api_key": ErrorKind(401, "The API key has expired", "Create a new key with a key of scope admin."),
    "revoked_api_key": ErrorKind(401, "The API key was revoked", "Use another key."),
    "session_over": ErrorKind(401, "Nobody is signed in to the dashboard", "Sign in at / with an API key."),
    "csrf_refused": ErrorKind(
        403, "The form is not of this session", "Load the page anew and repeat; scripts take /v1 and an API key."
    ),
    "insufficient_scope": ErrorKind(403, "The API key lacks a scope", "Use a key that has the scope the error names."),
    "quota_exceeded": ErrorKind(
        403, "A quota of the tenant is used up", "Free what the error names, or ask for a higher quota."
    ),
    "route_not_found": ErrorKind(404, "There is no such path", "See /docs for every path."),
    "dataset_not_found": ErrorKind(404, "There is no such data set", "Check the id; a deleted data set is gone."),
    "upload_not_found": ErrorKind(404, "There is no such upload", "Check both ids; list the uploads of the data set."),
    "job_not_found": ErrorKind(404, "There is no such job", "Check the id."),
    "artifact_not_found": ErrorKind(
        404, "The job has no such artifact", "List the job's artifacts; they appear when it succeeds."
    ),
    "webhook_endpoint_not_found": ErrorKind(404, "There is no such webhook endpoint", "Check the id."),
    "cursor_not_found": ErrorKind(404, "The list has no such place", "Give next_cursor of the page before, or begin anew."),
    "delivery_not_found": ErrorKind(404, "There is no such delivery", "Check the id; deliveries are kept for 30 days."),
    "api_key_not_found": ErrorKind(404, "There is no such API key", "Check the id."),
    "method_not_allowed": ErrorKind(405, "The path does not take this method", "Use a method from the header Allow."),
    "dataset_already_uploaded": ErrorKind(409, "The data set has its content", "Create another data set for other content."),
    "upload_not_open": ErrorKind(409, "The upload is over", "Begin another upload."),
    "upload_completing": ErrorKind(
        409, "The upload is being completed", "Look at it, or repeat the request a little later.", retryable=True
    ),
    "upload_incomplete": ErrorKind(409, "Parts of the upload are missing", "Send the parts that missing_parts names."),
    "upload_parts_lost": ErrorKind(409, "The parts of the upload are gone", "Begin another upload."),
    "too_many_uploads": ErrorKind(409, "Too many uploads into the data set are open", "Go on with one, or abort some."),
    "dataset_in_use": ErrorKind(409, "A job uses the data set", "Wait for the jobs to end, or cancel them.", retryable=True),
    "dataset_not_ready": ErrorKind(
        409, "The data set is not ready", "Upload its content, then wait for status ready.", retryable=True
    ),
    "dataset_deleted": ErrorKind(409, "The job's data set was deleted", "Upload the data again and submit a new job."),
    "job_in_use": ErrorKind(
        409, "An evaluation reads the job's result", "Wait for the evaluation to end, or cancel it.", retryable=True
    ),
    "job_not_succeeded": ErrorKind(409, "The job has no result", "Wait until it has succeeded, or retry it."),
    "invalid_job_status": ErrorKind(409, "The job's status does not allow this", "See the status that the error names."),
    "idempotency_key_in_flight": ErrorKind(
        409, "A request with this Idempotency-Key is being carried out", "Repeat the request a little later.", retryable=True
    ),
    "last_admin_key": ErrorKind(409, "This is the last admin key", "Create another admin key first."),
    "webhook_endpoint_disabled": ErrorKind(
        409, "The webhook endpoint is disabled", "Enable it with PATCH and 'enabled': true, then repeat the request."
    ),
    "too_many_webhook_endpoints": ErrorKind(409, "There are too many webhook endpoints", "Delete one that is not needed."),
    "upload_stalled": ErrorKind(408, "The upload stopped coming", "Send it again; nothing was kept.", retryable=True),
    "body_too_large": ErrorKind(413, "The body is too large", "Send a smaller body."),
    "upload_too_large": ErrorKind(413, "The upload is too large", "Send less data; FARZI_MAX_UPLOAD_BYTES is the limit."),
    "unsupported_media_type": ErrorKind(415, "The body has a media type that is not accepted", "Send what the error names."),
    "range_not_satisfiable": ErrorKind(416, "The range lies outside the file", "See the header Content-Range for its size."),
    "invalid_request": ErrorKind(422, "The request has bad fields", "Correct each field listed under errors."),
    "invalid_spec": ErrorKind(422, "The spec has bad fields", "Correct each field listed under errors; see /v1/spec/schema."),
    "spec_exceeds_data": ErrorKind(422, "The spec asks for more than the data has", "Lower each field listed under errors."),
    "dataset_invalid": ErrorKind(422, "The data set is invalid", "Read its report, correct the file, upload it as a new one."),
    "sequences_too_short": ErrorKind(
        422, "The sequences are too short to learn from", "Upload data with longer sequences as a new data set."
    ),
    "webhook_url_refused": ErrorKind(
        422, "The URL is none that webhooks are sent to", "Give an https URL with a public address; see docs/webhooks.md."
    ),
    "content_encoding_mismatch": ErrorKind(
        422, "The bytes are not compressed as Content-Encoding says", "Compress them, or leave the header out."
    ),
    "part_size_mismatch": ErrorKind(422, "The part has the wrong size", "Send as many bytes as missing_parts says."),
    "upload_digest_mismatch": ErrorKind(
        422, "The whole file has another SHA-256", "Check that the file did not change, and begin another upload."
    ),
    "empty_upload": ErrorKind(422, "The upload has no bytes", "Send the file's bytes as the body."),
    "invalid_content_digest": ErrorKind(422, "Content-Digest cannot be read", "Send 'Content-Digest: sha-256=:BASE64:'."),
    "content_digest_mismatch": ErrorKind(
        422, "The bytes do not match Content-Digest", "Send the file again; nothing was kept.", retryable=True
    ),
    "invalid_idempotency_key": ErrorKind(422, "Idempotency-Key cannot be used", "Send 1 to 255 printable ASCII characters."),
    "idempotency_key_reused": ErrorKind(
        422, "Idempotency-Key was used for another request", "Send a new key with every new request."
    ),
    "rate_limited": ErrorKind(429, "Too many requests", "Wait as many seconds as Retry-After says.", retryable=True),
    "too_many_streams": ErrorKind(429, "Too many event streams are open", "Close some, or poll events.", retryable=True),
    "too_many_completions": ErrorKind(429, "Too many uploads are being completed", "Repeat a little later.", retryable=True),
    "too_many_drawings": ErrorKind(429, "Too many downloads are being drawn", "Repeat a little later.", retryable=True),
    "request_head_too_large": ErrorKind(
        431, "URL and headers are too long", "Send what is long in the body, and fewer headers."
    ),
    "internal_error": ErrorKind(
        500, "The service failed", "Repeat the request; if it fails again, report its request_id.", retryable=True
    ),
    "not_ready": ErrorKind(503, "The service is not ready", "See checks for the part that is down.", retryable=True),
    "database_unavailable": ErrorKind(
        503, "The database does not answer", "Repeat the request a little later.", retryable=True
    ),
    "storage_unavailable": ErrorKind(
        503, "The object store does not answer", "Repeat the request a little later.", retryable=True
    ),
}


@dataclass(frozen=True)
class FieldProblem:
    """One bad field of a request: a JSON pointer and what is wrong with it."""

    pointer: str
    detail: str


def json_pointer(location: Sequence[str | int]) -> str:
    """Return the JSON pointer (RFC 6901) of a path of names and indices."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


class ServiceError(Exception):
    """A request that cannot be carried out.

    Args:
        code: a key of ``ERRORS``; clients branch on it.
        message: what was given, what is allowed, what to change.
        problems: bad fields, where the request is at fault.
        headers: headers of the answer.
        members: further members of the problem document.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        problems: tuple[FieldProblem, ...] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.kind = ERRORS[code]
        self.message = message
        self.problems = problems
        self.headers = dict(headers or {})
        self.members = dict(members or {})
