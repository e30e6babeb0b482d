"""The two clients are one: the blocking one is made from the other, and both have every operation of the API."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.errors import ERRORS
from farzi_client import ApiError, AsyncClient, Client
from farzi_client.errors import error_class
from tests.farzi_client.blocking import connect
from tests.farzi_client.twins import BY_HAND, TWIN, write_twins
from tests.farzi_client.unruly_server import UnrulyServer, raw, reply

ROOT = Path(__file__).parents[2]
RESOURCES = ("artifacts", "datasets", "jobs", "keys", "webhooks")
HTTP = ("get", "post", "put", "patch", "delete")

# Operation of the API: what is called of a client for it, with arguments that stand for themselves.
METHODS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "healthz": ("health", (), {}),
    "readyz": ("readiness", (), {}),
    "metrics": ("prometheus_metrics", (), {}),
    "list_presets": ("presets", (), {}),
    "get_spec_schema": ("spec_schema", (), {}),
    "get_usage": ("usage", (), {}),
    "list_audit_events": ("audit_events", (), {}),
    "list_api_keys": ("keys.list", (), {}),
    "create_api_key": ("keys.create", ("name",), {"scopes": ["admin"]}),
    "revoke_api_key": ("keys.revoke", ("key_id",), {}),
    "get_api_key": ("keys.get", ("key_id",), {}),
    "update_api_key": ("keys.rename", ("key_id", "name"), {}),
    "list_datasets": ("datasets.list", (), {}),
    "create_dataset": ("datasets.create", ("name",), {"format": "csv"}),
    "delete_dataset": ("datasets.delete", ("dataset_id",), {}),
    "get_dataset": ("datasets.get", ("dataset_id",), {}),
    "upload_content": ("datasets.upload_content", ("dataset_id", __file__), {}),
    "get_preview": ("datasets.preview", ("dataset_id",), {}),
    "get_report": ("datasets.report", ("dataset_id",), {}),
    "list_uploads": ("datasets.uploads", ("dataset_id",), {}),
    "create_upload": ("datasets.resume_upload", ("dataset_id", __file__), {}),
    "abort_upload": ("datasets.abort_upload", ("dataset_id", "upload_id"), {}),
    "get_upload": ("datasets.get_upload", ("dataset_id", "upload_id"), {}),
    "complete_upload": ("datasets.resume_upload", ("dataset_id", __file__), {}),
    "put_part": ("datasets.resume_upload", ("dataset_id", __file__), {}),
    "list_deliveries": ("webhooks.deliveries", (), {}),
    "get_delivery": ("webhooks.delivery", ("delivery_id",), {}),
    "replay_delivery": ("webhooks.replay", ("delivery_id",), {}),
    "list_jobs": ("jobs.list", (), {}),
    "create_job": ("jobs.distill", ("dataset_id",), {}),
    "compare": ("jobs.compare", ("job_id", "other"), {}),
    "estimate_job": ("jobs.estimate", ({},), {}),
    "delete_job": ("jobs.delete", ("job_id",), {}),
    "get_job": ("jobs.get", ("job_id",), {}),
    "change_job": ("jobs.label", ("job_id", {}), {}),
    "list_artifacts": ("artifacts.list", ("job_id",), {}),
    "download_artifact": ("artifacts.download", ("job_id", "name"), {}),
    "cancel_job": ("jobs.cancel", ("job_id",), {}),
    "list_events": ("jobs.events", ("job_id",), {}),
    "stream_events": ("jobs.wait", ("job_id",), {}),
    "get_metrics": ("jobs.metrics", ("job_id",), {}),
    "pause_job": ("jobs.pause", ("job_id",), {}),
    "resume_job": ("jobs.resume", ("job_id",), {}),
    "retry_job": ("jobs.retry", ("job_id",), {}),
    "list_webhook_endpoints": ("webhooks.list", (), {}),
    "create_webhook_endpoint": ("webhooks.create", ("https://example.com",), {}),
    "delete_webhook_endpoint": ("webhooks.delete", ("endpoint_id",), {}),
    "get_webhook_endpoint": ("webhooks.get", ("endpoint_id",), {}),
    "update_webhook_endpoint": ("webhooks.update", ("endpoint_id",), {"enabled": True}),
    "rotate_webhook_secret": ("webhooks.rotate_secret", ("endpoint_id",), {}),
    "test_webhook_endpoint": ("webhooks.test", ("endpoint_id",), {}),
}


def operations() -> dict[str, tuple[str, str]]:
    """Return method and path of every operation of the committed OpenAPI document."""
    paths = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]
    return {
        operation["operationId"]: (method.upper(), path)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if method in HTTP
    }


def test_the_blocking_client_is_made_from_the_asynchronous_one(tmp_path: Path) -> None:
    write_twins(tmp_path)
    made = {path.name: path.read_text() for path in tmp_path.glob("*.py")}
    kept = {path.name: path.read_text() for path in TWIN.glob("*.py") if path.name not in BY_HAND}
    assert made == kept, "run python -m tests.farzi_client.twins"
    assert len(made) > 5


@pytest.mark.parametrize("resource", [None, *RESOURCES])
def test_both_have_the_same_methods_with_the_same_parameters(resource: str | None, server: UnrulyServer) -> None:
    with Client("fz_test", base_url=server.url) as blocking:
        both = [blocking, AsyncClient("fz_test", base_url=server.url)]
        if resource is not None:
            both = [getattr(client, resource) for client in both]
        one, other = ({name: public_signature(value) for name, value in inspect.getmembers(it, callable)} for it in both)
    assert {name for name in one if not name.startswith("_")} == {name for name in other if not name.startswith("_")}
    assert [name for name in one if not name.startswith("__") and one[name] != other[name]] == []


def public_signature(function: Any) -> str:
    try:
        text = str(inspect.signature(function))
    except (TypeError, ValueError):
        return ""
    return re.sub(r"\bAsync(?=[A-Z])", "", text)


def test_every_operation_is_of_a_method() -> None:
    assert operations().keys() == METHODS.keys()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_every_operation_is_asked_for_by_its_method(kind: str, server: UnrulyServer, tmp_path: Path) -> None:
    missing = []
    with connect(kind, "fz_test", server.url, max_retries=0) as client:
        for operation, (name, arguments, options) in METHODS.items():
            method, path = operations()[operation]
            server.received.clear()
            server.scripts.clear()
            prepare(server)
            function: Any = client
            for part in name.split("."):
                function = getattr(function, part)
            extra = {"directory": tmp_path} if operation == "download_artifact" else {}
            answer = function(*arguments, **options, **extra)
            if hasattr(answer, "__next__"):
                list(answer)
            pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", re.escape(path).replace(r"\{", "{").replace(r"\}", "}")))
            asked = [item for item in server.received if item.method == method]
            if not any(pattern.fullmatch(item.path.partition("?")[0]) for item in asked):
                missing.append(operation)
    assert missing == []


def prepare(server: UnrulyServer) -> None:
    """Let every path answer with something that every model can be read from."""
    size, sha256 = Path(__file__).stat().st_size, "00"
    part = {"number": 1, "offset_bytes": 0, "size_bytes": size, "url": "/v1/datasets/ds/uploads/upload_id/parts/1"}
    upload = {"id": "upload_id", "size_bytes": size, "sha256": sha256, "part_size_bytes": 1 << 24}
    thing = {
        **upload,
        "status": "succeeded",
        "name": "name",
        "task": "t",
        "url": "u",
        "stored_bytes": 0,
        "seconds_p50": 1,
        "seconds_p90": 1,
        "peak_memory_bytes": 1,
        "output_bytes": 1,
        "jobs": [],
        "action": "a",
        "seq": 1,
        "type": "job.succeeded",
    }
    page = reply({"data": [], "has_more": False, "next_cursor": None})
    for operation, (method, path) in operations().items():
        concrete = path
        for name, value in (("{part_number}", "1"), ("{dataset_id}", "dataset_id"), ("{endpoint_id}", "endpoint_id")):
            concrete = concrete.replace(name, value)
        concrete = re.sub(r"\{(\w+)\}", r"\1", concrete)
        step = page if operation.startswith("list_") else reply(thing)
        server.on(method, concrete, step)
    server.on("PUT", part["url"], reply(thing))  # type: ignore[arg-type]
    server.on("GET", "/v1/jobs/job_id/metrics", reply({}))
    server.on("POST", "/v1/datasets/dataset_id/uploads", reply({**thing, "missing_parts": [part]}))
    server.on("PUT", "/v1/datasets/ds/uploads/upload_id/parts/1", reply({}))
    content = b"content"
    digest = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    listed = {"data": [{"name": "name", "sha256": digest, "size_bytes": 7}], "has_more": False}
    server.on("GET", "/v1/jobs/job_id/artifacts", reply(listed))
    server.on("GET", "/v1/jobs/job_id/artifacts/name", raw(content))


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_error_has_a_class_of_its_own(code: str) -> None:
    kind = error_class(ERRORS[code].status)
    assert issubclass(kind, ApiError)
    assert kind is not ApiError
