"""``python -m bench.checkpoints``: what part of a run's time its checkpoints take, with Postgres and an S3 server beside it.

One distillation of a public data set (``bench/data_sets.py``) for each interval between checkpoints: the shipped one, and one
so short that only ``FARZI_CHECKPOINT_MAX_SHARE`` keeps their cost down. The figures are the run's own, from its log. Run as

    python -m bench.checkpoints --data-set ml-100k --data DIRECTORY/u.data --outer-steps 120

It writes ``bench/results/checkpoints.json``; ``docs/operations.md`` has the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.datasets.models import Dataset
from app.jobs.states import JobStatus
from bench.data_sets import add_data_arguments, read_data_set
from farzi_core.data.sequences import SequenceDataset
from farzi_core.presets import resolve_spec
from tests.chaos.cluster import SHIPPED_TIMES, Cluster, running_server_cluster
from tests.services.rows import add_job

RESULTS = Path(__file__).parent / "results" / "checkpoints.json"
INTERVALS_S = (SHIPPED_TIMES["checkpoint_interval_s"], 1.0)
LONGEST_S = 3600.0
SHARE = re.compile(r"checkpoints took ([0-9.]+) % of the run's time")


def main() -> None:
    """Run the jobs, write the figures and print them."""
    parser = argparse.ArgumentParser(description="Measure the cost of checkpoints.")
    add_data_arguments(parser)
    parser.add_argument("--outer-steps", type=int, default=120, help="length of the distillation; the rest is the preset quick")
    given = parser.parse_args()
    dataset = read_data_set(given.data_set, given.data)
    runs = [measure(dataset, given.outer_steps, interval_s) for interval_s in INTERVALS_S]
    result = {
        "data_set": given.data_set,
        "outer_steps": given.outer_steps,
        "measured_at": datetime.now(UTC).date().isoformat(),
        "machine": {"cores": os.cpu_count(), "load_average": round(os.getloadavg()[2], 1), "python": platform.python_version()},
        "runs": runs,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def measure(dataset: SequenceDataset, outer_steps: int, interval_s: float) -> dict[str, Any]:
    """Return what one run says of its checkpoints."""
    settings = SHIPPED_TIMES | {"checkpoint_interval_s": interval_s}
    with tempfile.TemporaryDirectory() as directory, running_server_cluster(Path(directory) / "service", **settings) as cluster:
        job_id = submit(cluster, dataset, outer_steps, Path(directory))
        cluster.start_worker()
        job = cluster.wait_for_status(job_id, JobStatus.SUCCEEDED, timeout_s=LONGEST_S)
        assert job.started_at is not None
        assert job.ended_at is not None
        return {
            "interval_s": interval_s,
            "max_share": settings["checkpoint_max_share"],
            "seconds": round((job.ended_at - job.started_at).total_seconds(), 1),
            "num_checkpoints": cluster.event_types(job_id).count("checkpoint.written"),
            "share": round(share_in(cluster.log_path.read_text(encoding="utf-8", errors="replace")), 5),
        }


def submit(cluster: Cluster, dataset: SequenceDataset, outer_steps: int, directory: Path) -> str:
    """Queue a distillation of the data."""
    dataset_id = cluster.add_ready_dataset(directory, dataset)
    spec = resolve_spec(dataset.task, {"preset": "quick", "outer": {"num_steps": outer_steps}}).model_dump(mode="json")
    with cluster.session_factory.begin() as session:
        return add_job(session, session.get_one(Dataset, dataset_id), spec=spec).id


def share_in(log: str) -> float:
    """Return the part of its time that a run says its checkpoints took.

    Raises:
        ValueError: no run, or more than one, says so.
    """
    found = SHARE.findall(log)
    if len(found) != 1:
        raise ValueError(f"{len(found)} runs of the log say what their checkpoints took; it has to be one")
    return float(found[0]) / 100


if __name__ == "__main__":
    main()
