"""Estimates next to what jobs took: a service of its own measures its machine, then runs small jobs of several kinds.

Each job is estimated right before it is submitted, so that later ones are corrected by those before; ``first_seconds_p50`` is
what the model said before any job had corrected it. Run as

    python -m bench.estimates

It writes ``bench/results/estimates.json`` and prints the table that ``docs/estimates.md`` has. The jobs of the committed run
took 22 minutes, on two busy cores.
"""

from __future__ import annotations

import json
import platform
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from farzi_client import Client
from farzi_client.cli.demo_service import running_service

RESULTS = Path(__file__).parent / "results" / "estimates.json"
NUM_USERS, NUM_ITEMS, LONGEST = 400, 60, 30
CALIBRATION_TIMEOUT_S = 180.0

SMALL: dict[str, Any] = {
    "preset": "quick",
    "student": {"hidden_size": 16, "max_length": 20},
    "synthetic": {"num_sequences": 10, "sequence_length": 16},
    "outer": {"num_steps": 40, "validate_every": 20},
    "teacher": {"num_steps": 100},
    "evaluation": {"num_seeds": 1, "max_steps": 60, "lr_factors": [1.0]},
}


def with_student(**sizes: Any) -> dict[str, Any]:
    """Return the small spec with another student."""
    return {**SMALL, "student": {**SMALL["student"], **sizes}}


DISTILLATIONS: dict[str, dict[str, Any]] = {
    "sasrec": SMALL,
    "gru4rec": with_student(architecture="gru4rec"),
    "fmlp": with_student(architecture="fmlp"),
    "narm": with_student(architecture="narm"),
    "sasrec, H = 64": with_student(hidden_size=64),
    "sasrec, 160 outer steps": {**SMALL, "outer": {"num_steps": 160, "validate_every": 40}},
    "sasrec, stored": {**SMALL, "meta_gradient": {"method": "stored", "window": None}},
}
EVALUATIONS: dict[str, dict[str, Any]] = {
    "evaluation, every student": {"num_seeds": 1, "max_steps": 60, "lr_factors": [1.0]},
    "evaluation, sasrec, 5 seeds": {"students": ["sasrec"], "num_seeds": 5},
}


def main() -> None:
    """Run every job, write the figures and print them."""
    with (
        tempfile.TemporaryDirectory() as directory,
        running_service(Path(directory)) as service,
        Client(service.api_key, base_url=service.base_url) as client,
    ):
        rows = measure(client, Path(directory))
    result = {"machine": rows[0]["machine"], "python": platform.python_version(), "jobs": rows}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print("\n".join(table(rows)))


def measure(client: Client, directory: Path) -> list[dict[str, Any]]:
    """Return a row for each job."""
    dataset = client.datasets.upload(str(write_data(directory / "walks.csv")), format="csv")
    client.datasets.wait(dataset.id)
    bodies = {name: {"kind": "distillation", "dataset_id": dataset.id, "spec": spec} for name, spec in DISTILLATIONS.items()}
    wait_for_calibration(client, bodies["sasrec"])
    first = {name: client.jobs.estimate(body).seconds_p50 for name, body in bodies.items()}
    rows = []
    source = ""
    for name, body in bodies.items():
        row, job_id = compare(client, name, body)
        source = source or job_id
        rows.append({**row, "first_seconds_p50": first[name]})
        print(rows[-1], flush=True)
    for name, spec in EVALUATIONS.items():
        body = {"kind": "evaluation", "job_id": source, "spec": spec}
        row, _ = compare(client, name, body)
        rows.append({**row, "first_seconds_p50": row["seconds_p50"] if name == next(iter(EVALUATIONS)) else None})
        print(rows[-1], flush=True)
    return rows


def compare(client: Client, name: str, body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Estimate a job, run it, and return both with its id."""
    said = client.jobs.estimate(body)
    job = client.jobs.wait(client.jobs.create(body).id)
    (run,) = job.runs
    assert run.started_at is not None
    assert run.ended_at is not None
    row = {
        "job": name,
        "machine": said.basis.machine,
        "seconds_p50": said.seconds_p50,
        "seconds_p90": said.seconds_p90,
        "actual_seconds": (run.ended_at - run.started_at).total_seconds(),
        "output_bytes": said.output_bytes,
        "actual_output_bytes": sum(artifact.size_bytes for artifact in job.artifacts),
        "num_finished_jobs": said.basis.num_finished_jobs,
    }
    return row, job.id


def wait_for_calibration(client: Client, body: dict[str, Any]) -> None:
    """Wait until the idle worker has measured its machine."""
    give_up_at = time.monotonic() + CALIBRATION_TIMEOUT_S
    while client.jobs.estimate(body).basis.speeds != "measured":
        if time.monotonic() > give_up_at:
            raise SystemExit(f"the worker did not measure its machine within {CALIBRATION_TIMEOUT_S:g} s; see its log")
        time.sleep(1.0)


def write_data(path: Path) -> Path:
    """Write walks round a ring of items, so that there is something to learn."""
    draw = random.Random(0)
    lines = ["user,item,timestamp"]
    for user in range(NUM_USERS):
        item = draw.randrange(NUM_ITEMS)
        for moment in range(draw.randrange(8, LONGEST)):
            lines.append(f"{user},i{item},{moment}")
            item = (item + draw.choice([1, 1, 2, 3])) % NUM_ITEMS
    path.write_text("\n".join(lines) + "\n")
    return path


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the rows as a table, in seconds."""
    lines = [
        "| job | p50 before any job | p50 | p90 | took | took / p50 | below p90 |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        first = "" if row["first_seconds_p50"] is None else f"{row['first_seconds_p50']:.0f}"
        ratio = row["actual_seconds"] / row["seconds_p50"]
        below = "yes" if row["actual_seconds"] <= row["seconds_p90"] else "no"
        lines.append(
            f"| {row['job']} | {first} | {row['seconds_p50']:.0f} | {row['seconds_p90']:.0f} | {row['actual_seconds']:.0f} "
            f"| {ratio:.2f} | {below} |"
        )
    return lines


if __name__ == "__main__":
    main()
