"""Results as a pipeline publishes them, with names that would be markup if anybody forgot to escape them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import torch
from starlette.testclient import TestClient

from app.clock import database_now
from app.datasets.verdicts import ValidatedContent, accept_dataset, refuse_dataset
from app.jobs.leases import Lease
from app.jobs.progress import JobWriter
from app.jobs.publishing import publish
from app.services import Services
from farzi_core.artifacts import SyntheticFile, write_synthetic
from farzi_core.sequence_files import hash_vocabulary, write_sequences, write_vocabulary
from farzi_core.soft_tokens import read_soft_tokens
from farzi_core.synthetic.free import FreeSynthetic
from tests.app.driving import LONGEST, NUM_SEQUENCES, claim_job, claim_validation, submit, succeed, upload

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
TOKENS = ("JFK", "LAX", MARKUP, "ORD", "Zoë", "ATL")
HISTOGRAMS = {
    "sequence_length": [{"low": 1, "high": 1, "count": 3}, {"low": 2, "high": 3, "count": 7}],
    "popularity": [{"low": 1, "high": 1, "count": 10}],
    "time": [
        {"low": 1_357_000_000, "high": 1_357_100_000, "count": 4},
        {"low": 1_357_100_001, "high": 1_357_200_000, "count": 6},
    ],
}


def make_ready_with_report(client: TestClient | httpx.Client, services: Services, name: str = MARKUP) -> str:
    """Return the id of a ready data set whose report has everything a report can have."""
    dataset_id = upload(client, name=name, metadata={"team": MARKUP})
    lease = claim_validation(services, dataset_id)
    report = {
        "num_rows": 12,
        "num_problems": 1,
        "problem_counts": {"bad_row": 1},
        "problems": [{"line": 7, "column": MARKUP, "value": MARKUP, "code": "bad_row", "reason": f"this is {MARKUP}"}],
        "dropped_rows": {"bad": 1, "below_min_rating": 0, "rare": 2},
        "warnings": [f"columns were guessed: {MARKUP}"],
        "reading": {"line_is": "line", "header": True, "delimiter": ",", "columns": {"user": "user", "item": MARKUP}},
        "histograms": HISTOGRAMS,
        "statistics": {
            "num_sequences": NUM_SEQUENCES,
            "num_events": 10,
            "vocab_size": 6,
            "sequence_length": {"min": 1, "median": 2.0, "mean": 2.5, "max": 3},
            "share_repeated_events": 0.1,
            "num_duplicate_rows": 0,
            "num_short_sequences": 3,
        },
    }
    found = ValidatedContent(
        canonical_key=f"datasets/{dataset_id}/{lease.token}/canonical.parquet",
        num_sequences=NUM_SEQUENCES,
        num_events=NUM_SEQUENCES * LONGEST,
        vocab_size=len(TOKENS),
        max_sequence_length=LONGEST,
        report=report,
        preview=[{"name": MARKUP, "num_events": 30, "events": list(TOKENS)}],
    )
    with services.sessions.begin() as session:
        accept_dataset(session, dataset_id, found, at=database_now(session))
        publish(session, lease, {}, [])
    return dataset_id


def make_refused(client: TestClient | httpx.Client, services: Services) -> str:
    """Return the id of a data set that was refused for a row."""
    dataset_id = upload(client)
    lease = claim_validation(services, dataset_id)
    problem = {"line": 3, "column": "timestamp", "value": "notatime", "code": "bad_timestamp", "reason": "this is not a number"}
    with services.sessions.begin() as session:
        refuse_dataset(session, dataset_id, {"num_rows": 3, "num_problems": 1, "problems": [problem]}, at=database_now(session))
        publish(session, lease, {}, [])
    return dataset_id


def make_report() -> dict[str, Any]:
    """Return a report with two students, as ``farzi_core.evaluation.report`` makes them."""

    def student(scale: float) -> dict[str, Any]:
        def side(value: float) -> dict[str, Any]:
            return {"hr@10": {"mean": value + 0.1, "std": 0.01}, "ndcg@10": {"mean": value, "std": 0.02}}

        return {
            "full_data": side(0.5 * scale),
            "distilled": side(0.45 * scale),
            "hard": side(0.4 * scale),
            "random": side(0.2 * scale),
            "ratio": {"ndcg@10": {"mean": 0.9, "low": 0.87, "high": 0.93}},
            "ratio_hard": {"ndcg@10": {"mean": 0.8, "low": 0.77, "high": 0.83}},
            "ratio_random": {"ndcg@10": {"mean": 0.4, "low": 0.37, "high": 0.43}},
            "train_seconds": {"full_data": 4.0, "distilled": 0.5, "hard": 0.7, "random": 0.4},
            "speedup_to_same_metric": {"ratio": 7.5},
        }

    size = {"sequences": 3, "events": 18, "bytes": 432, "percent_of_events": 0.3, "percent_of_bytes": 1.5}
    top = [[{"event": token, "probability": 0.4} for token in TOKENS[:3]] for _ in range(6)]
    return {
        "task": "sequential_recommendation",
        "protocol": {"students": f"fresh {MARKUP}", "num_seeds": 3, "max_steps": {"full_data": 600, "others": 400}},
        "cautions": [{"code": "full_data_still_improving", "student": "sasrec", "message": f"too early {MARKUP}"}],
        "students": {"sasrec": student(1.0), "gru4rec": student(0.9)},
        "cross_architecture": {
            "distilled_with": "sasrec",
            "metric": "ndcg@10",
            "students": {
                name: {"full_data": {"mean": 0.5, "std": 0.02}, "distilled": {"mean": 0.45, "std": 0.02}, "ratio": ratio}
                for name, ratio in (("sasrec", {"mean": 0.9, "low": 0.87, "high": 0.93}), ("gru4rec", None))
            },
        },
        "size": size,
        "sides": {"distilled": size, "full_data": size | {"bytes": 28_000}},
        "seconds": {"distil": 70.2, "train_distilled": 0.5, "train_full_data": 4.0},
        "break_even_trainings": 20.06,
        "sequences": {"top_events": top},
    }


def run_a_little(services: Services, lease: Lease) -> None:
    """Write what a run writes while it distils."""
    writer = JobWriter(services.sessions, lease)
    writer.phase("distillation")
    for step in range(1, 21):
        writer.metrics(step, {"outer_loss": 5.0 - step / 10, "meta_gradient_norm": 0.1 + step / 100})
    writer.metrics(10, {"validation_ndcg@10": 0.2, "full_data_validation_ndcg@10": 0.5, "random_validation_ndcg@10": 0.1})
    writer.metrics(20, {"validation_ndcg@10": 0.3, "full_data_validation_ndcg@10": 0.5, "random_validation_ndcg@10": 0.1})
    writer.progress(20, 40)
    writer.flush()


def publish_result(
    client: TestClient | httpx.Client, services: Services, dataset_id: str, directory: Path, **fields: Any
) -> str:
    """Return the id of a job that has succeeded with every file."""
    job_id = submit(client, dataset_id, **fields)
    lease = claim_job(services, job_id)
    run_a_little(services, lease)
    scores = torch.randn((3, 6, len(TOKENS)), generator=torch.Generator().manual_seed(1))
    path = write_synthetic(
        SyntheticFile(FreeSynthetic(scores), "-", hash_vocabulary(TOKENS), hard_seed=1), directory / "synthetic.safetensors"
    ).path
    files = [path, write_vocabulary(TOKENS, directory / "vocabulary.json").path]
    events = read_soft_tokens(path).draw(4)
    files.append(write_sequences(events, TOKENS, directory / "sequences.jsonl", draws=4).path)
    content = {file.name: file.read_bytes() for file in files}
    content["report.json"] = json.dumps(make_report()).encode()
    (directory / "published").mkdir()
    succeed(services, lease, directory / "published", content)
    return job_id
