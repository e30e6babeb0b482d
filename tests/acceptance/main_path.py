"""From an upload over plain HTTP to checked artifacts: the same steps for every way the service can be run."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq

from farzi_core.manifest import read_manifest, verify_files
from tests.acceptance.interactions import InteractionFile

TERMINAL = {"succeeded", "failed", "cancelled"}
ARTIFACTS = {
    "synthetic.safetensors",
    "sequences.jsonl",
    "sequences.parquet",
    "vocabulary.json",
    "report.json",
    "report.html",
    "manifest.json",
}
SMALL_SPEC: dict[str, Any] = {
    "preset": "quick",
    "student": {"hidden_size": 16},
    "synthetic": {"num_sequences": 10, "sequence_length": 20, "latent_dim": 16},
    "inner": {"num_steps": 20, "min_steps": 10},
    "outer": {"num_steps": 12, "batch_size": 64, "validate_every": 6, "pool_max_steps": 60, "validation_steps": 40},
    "teacher": {"num_trajectories": 1, "num_steps": 40},
    "evaluation": {"num_seeds": 1, "max_steps": 40, "num_validations": 5, "lr_factors": [1.0]},
}


def wait_until(describe: str, check: Callable[[], bool], *, timeout_s: float) -> None:
    """Poll ``check`` until it holds."""
    give_up_at = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < give_up_at, f"not within {timeout_s} s: {describe}"
        time.sleep(0.2)


def upload_dataset(http: httpx.Client, data: InteractionFile) -> str:
    """Declare, upload and wait for validation; return the id of the ready data set."""
    content = data.path.read_bytes()
    created = http.post(
        "/v1/datasets",
        json={
            "name": data.label,
            "task": "sequential_recommendation",
            "format": "tsv",
            "columns": {"user": 0, "item": 1, "rating": 2, "timestamp": 3},
            "options": {"header": False},
        },
    )
    assert created.status_code == 201, created.text
    assert created.json()["status"] == "awaiting_upload"
    dataset_id: str = created.json()["id"]
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    put = http.put(f"/v1/datasets/{dataset_id}/content", content=content, headers={"Content-Digest": f"sha-256=:{digest}:"})
    assert put.status_code == 202, put.text
    assert put.json()["status"] == "validating"
    wait_until(
        "data set validated",
        lambda: http.get(f"/v1/datasets/{dataset_id}").json()["status"] in {"ready", "invalid"},
        timeout_s=90,
    )
    dataset = http.get(f"/v1/datasets/{dataset_id}").json()
    assert dataset["status"] == "ready", http.get(f"/v1/datasets/{dataset_id}/report").text
    assert dataset["num_sequences"] == data.num_sequences
    assert dataset["num_events"] == data.num_events
    assert dataset["vocab_size"] == data.vocab_size
    assert dataset["size_bytes"] == len(content)
    assert dataset["sha256"] == hashlib.sha256(content).hexdigest()
    return dataset_id


def submit_distillation(http: httpx.Client, dataset_id: str, spec: dict[str, Any] = SMALL_SPEC) -> str:
    """Submit twice under one idempotency key: one job."""
    body = {"kind": "distillation", "dataset_id": dataset_id, "spec": spec, "metadata": {"purpose": "acceptance"}}
    headers = {"Idempotency-Key": f"acceptance-{dataset_id}"}
    submitted = http.post("/v1/jobs", json=body, headers=headers)
    assert submitted.status_code == 202, submitted.text
    again = http.post("/v1/jobs", json=body, headers=headers)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["id"] == submitted.json()["id"]
    assert submitted.headers["Location"].endswith(f"/v1/jobs/{submitted.json()['id']}")
    job_id: str = submitted.json()["id"]
    assert submitted.json()["spec"]["inner"]["betas"] == [0.95, 0.975], "the spec comes back with its defaults resolved"
    return job_id


def watch_until_ended(http: httpx.Client, job_id: str, *, timeout_s: float) -> list[dict[str, Any]]:
    """Read events as they come and return them all; metrics must be visible before the job ends."""
    events: list[dict[str, Any]] = []
    metrics_seen_while_running = False
    give_up_at = time.monotonic() + timeout_s
    while True:
        job = http.get(f"/v1/jobs/{job_id}").json()
        after = events[-1]["seq"] if events else 0
        events += http.get(f"/v1/jobs/{job_id}/events", params={"after": after, "limit": 200}).json()["data"]
        if job["status"] == "running" and http.get(f"/v1/jobs/{job_id}/metrics").json():
            metrics_seen_while_running = True
        if job["status"] in TERMINAL:
            break
        assert time.monotonic() < give_up_at, f"job did not end: {job}"
        time.sleep(0.3)
    events += http.get(f"/v1/jobs/{job_id}/events", params={"after": events[-1]["seq"], "limit": 200}).json()["data"]
    assert job["status"] == "succeeded", (job["error"], events[-5:])
    assert metrics_seen_while_running, "metrics appeared only after the end"
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    return events


def check_artifacts(http: httpx.Client, job_id: str, data: InteractionFile, directory: Path) -> None:
    """Download everything, compare every SHA-256 with the list and the manifest, and read the hard sequences."""
    listed = {entry["name"]: entry for entry in http.get(f"/v1/jobs/{job_id}/artifacts").json()["data"]}
    assert set(listed) == ARTIFACTS
    content: dict[str, bytes] = {}
    for name, entry in listed.items():
        answer = http.get(f"/v1/jobs/{job_id}/artifacts/{name}")
        assert answer.status_code in {200, 307}, answer.text
        if answer.status_code == 307:
            answer = httpx.get(answer.headers["Location"])  # presigned: no bearer key goes along
        assert answer.status_code == 200
        content[name] = answer.content
        assert len(content[name]) == entry["size_bytes"], name
        assert hashlib.sha256(content[name]).hexdigest() == entry["sha256"], name
        (directory / name).write_bytes(content[name])
    manifest = read_manifest(directory / "manifest.json")
    assert manifest["files"].keys() == ARTIFACTS - {"manifest.json"}
    verify_files(directory, manifest)
    check_hard_sequences(content, data)
    check_report(json.loads(content["report.json"]))


def check_hard_sequences(content: dict[str, bytes], data: InteractionFile) -> None:
    """Four draws per latent sequence, in the user's own item ids, the same in both formats."""
    table = pq.read_table(io.BytesIO(content["sequences.parquet"]))
    rows = table.to_pylist()
    lines = [json.loads(line) for line in content["sequences.jsonl"].decode().splitlines()]
    assert [row["events"] for row in rows] == [line["events"] for line in lines]
    assert len(rows) == 4 * SMALL_SPEC["synthetic"]["num_sequences"]
    items = {line.split("\t")[1] for line in data.path.read_text().splitlines()}
    assert {len(row["events"]) for row in rows} == {SMALL_SPEC["synthetic"]["sequence_length"]}
    assert {event for row in rows for event in row["events"]} <= items


def check_report(report: dict[str, Any]) -> None:
    """The fields of the contract, with finite values in range."""
    student = report["students"]["sasrec"]
    for side in ("full_data", "distilled", "hard", "random"):
        assert 0.0 <= student[side]["ndcg@10"]["mean"] <= 1.0, side
    assert student["ratio"]["ndcg@10"]["low"] <= student["ratio"]["ndcg@10"]["high"]
    assert report["size"]["sequences"] == SMALL_SPEC["synthetic"]["num_sequences"]
    assert report["size"]["bytes"] > 0
    assert set(report["seconds"]) >= {"distil", "train_distilled", "train_full_data"}
    assert "break_even_trainings" in report


def run_main_path(http: httpx.Client, data: InteractionFile, directory: Path, *, timeout_s: float) -> None:
    """The whole path."""
    dataset_id = upload_dataset(http, data)
    job_id = submit_distillation(http, dataset_id)
    events = watch_until_ended(http, job_id, timeout_s=timeout_s)
    assert events[0]["type"] == "job.queued"
    assert events[-1]["type"] == "job.succeeded"
    check_artifacts(http, job_id, data, directory)
