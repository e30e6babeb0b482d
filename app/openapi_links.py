"""The links of the OpenAPI document: which operations go on from an answer, and where they find their ids in it."""

from __future__ import annotations

from typing import Any

_ID = "$response.body#/id"
_FIRST_ID = "$response.body#/data/0/id"
_DATASET = {"dataset_id": _ID}
_DATASET_OF_UPLOAD = {"dataset_id": "$response.body#/dataset_id", "upload_id": _ID}
_JOB = {"job_id": _ID}
_JOB_OF_PATH = {"job_id": "$request.path.job_id"}
_KEY = {"key_id": _ID}
_ENDPOINT = {"endpoint_id": _ID}
_DELIVERY = {"delivery_id": _ID}

_WHAT_WAS_UPLOADED = {"get_dataset": _DATASET, "get_report": _DATASET, "get_preview": _DATASET}

# By operation and status: the operations that go on, each with its parameters.
LINKS: dict[tuple[str, str], dict[str, dict[str, str]]] = {
    ("create_dataset", "201"): {
        "get_dataset": _DATASET,
        "upload_content": _DATASET,
        "create_upload": _DATASET,
        "list_uploads": _DATASET,
        "delete_dataset": _DATASET,
    },
    ("upload_content", "202"): _WHAT_WAS_UPLOADED,
    ("list_datasets", "200"): {
        name: {"dataset_id": _FIRST_ID} for name in ("get_dataset", "get_report", "get_preview", "list_uploads")
    },
    ("create_upload", "201"): {
        "get_upload": _DATASET_OF_UPLOAD,
        "put_part": {**_DATASET_OF_UPLOAD, "part_number": "$response.body#/missing_parts/0/number"},
        "complete_upload": _DATASET_OF_UPLOAD,
        "abort_upload": _DATASET_OF_UPLOAD,
    },
    ("complete_upload", "202"): _WHAT_WAS_UPLOADED,
    ("create_job", "202"): dict.fromkeys(
        (
            "get_job",
            "change_job",
            "delete_job",
            "cancel_job",
            "pause_job",
            "resume_job",
            "retry_job",
            "list_events",
            "stream_events",
            "get_metrics",
            "list_artifacts",
        ),
        _JOB,
    ),
    ("list_jobs", "200"): {name: {"job_id": _FIRST_ID} for name in ("get_job", "list_events", "get_metrics", "list_artifacts")},
    ("list_artifacts", "200"): {"download_artifact": {**_JOB_OF_PATH, "name": "$response.body#/data/0/name"}},
    ("create_api_key", "201"): {"get_api_key": _KEY, "update_api_key": _KEY, "revoke_api_key": _KEY},
    ("create_webhook_endpoint", "201"): dict.fromkeys(
        (
            "get_webhook_endpoint",
            "update_webhook_endpoint",
            "delete_webhook_endpoint",
            "rotate_webhook_secret",
            "test_webhook_endpoint",
        ),
        _ENDPOINT,
    ),
    ("test_webhook_endpoint", "202"): {"get_delivery": _DELIVERY, "replay_delivery": _DELIVERY},
    ("replay_delivery", "202"): {"get_delivery": _DELIVERY},
    ("list_deliveries", "200"): {name: {"delivery_id": _FIRST_ID} for name in ("get_delivery", "replay_delivery")},
}


def links_of(operation_id: str, status: str) -> dict[str, dict[str, Any]]:
    """Return the links of one answer."""
    found = LINKS.get((operation_id, status), {})
    return {name: {"operationId": name, "parameters": parameters} for name, parameters in found.items()}
