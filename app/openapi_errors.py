"""Which errors each operation of the OpenAPI document can answer with, and how they are written there.

What follows from an operation's form (it needs a key, it has a body, it is a POST, an id is in its path) is not listed again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from app.errors import ERRORS
from app.openapi_data_samples import example_id
from app.openapi_headers import failure_headers
from app.problems import MEDIA_TYPE, STATUSES_TO_RETRY_AFTER

ALWAYS = ("bad_request", "internal_error")
WITH_KEY = (
    "missing_api_key",
    "invalid_api_key",
    "expired_api_key",
    "revoked_api_key",
    "insufficient_scope",
    "invalid_request",
    "rate_limited",
    "database_unavailable",
)
WITH_JSON_BODY = ("malformed_json", "body_too_large", "unsupported_media_type")
OF_POST = ("idempotency_key_in_flight", "idempotency_key_reused", "invalid_idempotency_key")
NOT_FOUND = {
    "dataset_id": "dataset_not_found",
    "upload_id": "upload_not_found",
    "job_id": "job_not_found",
    "name": "artifact_not_found",
    "key_id": "api_key_not_found",
    "endpoint_id": "webhook_endpoint_not_found",
    "delivery_id": "delivery_not_found",
}
_FROM_THE_BODY = (
    "content_digest_mismatch",
    "content_encoding_mismatch",
    "empty_upload",
    "invalid_content_digest",
    "storage_unavailable",
    "unsupported_media_type",
    "upload_stalled",
    "upload_too_large",
)
_OF_A_SUBMISSION = (
    "dataset_deleted",
    "dataset_invalid",
    "dataset_not_found",
    "dataset_not_ready",
    "invalid_spec",
    "job_not_found",
    "job_not_succeeded",
    "sequences_too_short",
    "spec_exceeds_data",
)
OWN: dict[str, tuple[str, ...]] = {
    "create_dataset": ("quota_exceeded",),
    "upload_content": ("dataset_already_uploaded", "quota_exceeded", *_FROM_THE_BODY),
    "get_preview": ("dataset_not_ready",),
    "get_report": ("dataset_not_ready",),
    "delete_dataset": ("dataset_in_use", "storage_unavailable"),
    "create_upload": (
        "dataset_already_uploaded",
        "quota_exceeded",
        "storage_unavailable",
        "too_many_uploads",
        "upload_too_large",
    ),
    "get_upload": ("storage_unavailable",),
    "put_part": (
        "dataset_already_uploaded",
        "part_size_mismatch",
        "upload_completing",
        "upload_not_open",
        "upload_parts_lost",
        *_FROM_THE_BODY,
    ),
    "complete_upload": (
        "dataset_already_uploaded",
        "quota_exceeded",
        "storage_unavailable",
        "too_many_completions",
        "upload_completing",
        "upload_digest_mismatch",
        "upload_incomplete",
        "upload_not_open",
        "upload_parts_lost",
    ),
    "abort_upload": ("storage_unavailable", "upload_completing", "upload_not_open"),
    "create_job": ("quota_exceeded", *_OF_A_SUBMISSION),
    "estimate_job": _OF_A_SUBMISSION,
    "compare": ("job_not_found",),
    "cancel_job": ("invalid_job_status",),
    "pause_job": ("invalid_job_status",),
    "resume_job": ("invalid_job_status",),
    "retry_job": ("dataset_deleted", "invalid_job_status", "quota_exceeded"),
    "delete_job": ("invalid_job_status", "job_in_use", "storage_unavailable"),
    "stream_events": ("too_many_streams",),
    "download_artifact": ("range_not_satisfiable", "storage_unavailable", "too_many_drawings"),
    "revoke_api_key": ("last_admin_key",),
    "create_webhook_endpoint": ("too_many_webhook_endpoints", "webhook_url_refused"),
    "update_webhook_endpoint": ("webhook_url_refused",),
    "test_webhook_endpoint": ("webhook_endpoint_disabled",),
    "replay_delivery": ("webhook_endpoint_disabled",),
    "readyz": ("not_ready",),
    "metrics": ("database_unavailable",),
}


def codes_of(method: str, operation: dict[str, Any]) -> list[str]:
    """Return every code that the operation can answer with."""
    codes = {*ALWAYS, *OWN.get(operation["operationId"], ())}
    if operation.get("security"):
        codes.update(WITH_KEY)
    if "application/json" in operation.get("requestBody", {}).get("content", {}) or method == "post":
        codes.update(WITH_JSON_BODY)
    if method == "post":
        codes.update(OF_POST)
    if any((item["in"], item["name"]) == ("query", "cursor") for item in operation.get("parameters", ())):
        codes.add("cursor_not_found")
    in_path = {item["name"] for item in operation.get("parameters", ()) if item["in"] == "path"}
    codes.update(NOT_FOUND[name] for name in in_path & NOT_FOUND.keys())
    return sorted(codes)


def failures(codes: Iterable[str], shared: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the responses of an operation that can answer with ``codes``, by status: references into ``shared``."""
    by_status = defaultdict(list)
    for code in codes:
        by_status[ERRORS[code].status].append(code)
    references = {}
    for status, some in sorted(by_status.items()):
        name = f"{status}.{'.'.join(some)}"
        shared.setdefault(name, _response(status, some))
        references[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return references


def problem_examples(codes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the examples that the responses refer to."""
    return {code: {"summary": ERRORS[code].title, "value": _problem(code)} for code in sorted(codes)}


def _response(status: int, codes: list[str]) -> dict[str, Any]:
    said = "\n".join(f"- `{code}`: {ERRORS[code].title}. {ERRORS[code].advice}" for code in codes)
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}], "properties": {"code": {"enum": codes}}}
    examples = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
    may_be_retried = status in STATUSES_TO_RETRY_AFTER and any(ERRORS[code].retryable for code in codes)
    headers = failure_headers(status, may_be_retried=may_be_retried)
    return {"description": said, "headers": headers, "content": {MEDIA_TYPE: {"schema": schema, "examples": examples}}}


def _problem(code: str) -> dict[str, Any]:
    kind = ERRORS[code]
    return {
        "type": f"urn:farzi:error:{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.advice,
        "code": code,
        "request_id": example_id("req"),
        "retryable": kind.retryable,
    }
