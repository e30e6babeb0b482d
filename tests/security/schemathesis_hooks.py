"""What the OpenAPI document cannot say, for Schemathesis, and the ids that the service under test has.

``RULES`` are between fields, or between a field and the world: a request that the document admits may break one, and is then
refused. No other refusal of such a request is let pass, whatever the operation.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from typing import Any

import schemathesis
from schemathesis import Case, HookContext
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import RejectedPositiveData

# By code of the error: what its detail says.
RULES: dict[str, str] = {
    "bad_request": "NUL character",
    "content_digest_mismatch": "promised",
    "content_encoding_mismatch": "Content-Encoding is",
    "idempotency_key_reused": "was sent with another request",
    "invalid_content_digest": "has no SHA-256",  # what Schemathesis takes for a match of the header's pattern is none
    "invalid_request": "is in the past|digests for the|parts and|needs a column of its own|give the distillation|holds no draws"
    "|has a NUL",
    "invalid_spec": "/spec",
    "part_size_mismatch": "has to have",
    "range_not_satisfiable": "lies outside the file",
    "spec_exceeds_data": "/spec",
    "upload_too_large": "has more than",
    "webhook_url_refused": "name inside a network|not public",
}
STATUSES_OF_HEAD = (400, 416)  # have no body that says which rule it was
# Ids of the document's examples, with those that the service has in their place.
SEEDED: dict[str, str] = json.loads(os.environ.get("FARZI_SEEDED_IDS", "{}"))
_ENDS_WHAT_IT_NAMES = ("delete_", "abort_", "revoke_")


def breaks_a_rule(problem: dict[str, Any]) -> bool:
    """Return whether a refusal is one that the document cannot announce."""
    rule = RULES.get(problem["code"])
    return rule is not None and re.search(rule, problem["detail"]) is not None


@schemathesis.hook
def filter_failure(_context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    if not isinstance(failure, RejectedPositiveData):
        return True
    if case.method == "HEAD":
        return response.status_code not in STATUSES_OF_HEAD
    return not breaks_a_rule(response.json())


@schemathesis.hook
def filter_case(_context: HookContext, case: Case[Any]) -> bool:
    """Leave out streams of jobs that are not over: they do not end."""
    job_id = str(case.path_parameters.get("job_id"))
    return not (_is_stream(case) and job_id.startswith("job_")) or job_id in {*SEEDED, *SEEDED.values()}


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, object]) -> None:
    path = case.path_parameters
    if _name_of(case).startswith(_ENDS_WHAT_IT_NAMES):
        for name, value in path.items():
            if value in SEEDED.values():
                path[name] = f"{str(value).partition('_')[0]}_{'0' * 32}"
        return
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    for values in (path, case.query, case.body):
        if isinstance(values, dict):
            values.update({key: _seeded(value) for key, value in values.items() if isinstance(value, str)})
    if path.get("upload_id") in SEEDED.values():
        path["dataset_id"] = SEEDED["dataset of the upload"]


def _name_of(case: Case[Any]) -> str:
    return str(case.operation.definition.raw["operationId"])


def _is_stream(case: Case[Any]) -> bool:
    return _name_of(case).endswith("stream_events")


def _seeded(value: str) -> str:
    for example, given in SEEDED.items():
        value = value.replace(example, given)
    return value
