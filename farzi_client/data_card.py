"""A data set for Hugging Face ``datasets``: the README.md beside a parquet file of hard sequences that says what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from farzi_client.artifacts import Drawing
from farzi_client.errors import FarziClientError, IntegrityError
from farzi_client.models import Job

CARD_NAME = "README.md"
REPORT_NAME = "report.json"
MARK = "# Hard sequences of a distilled data set"
METRICS_SHOWN = ("ratio", "distilled", "full_data", "random")


def require_room(directory: Path) -> None:
    """Refuse a folder whose README.md is somebody else's.

    Raises:
        FarziClientError: it is.
    """
    path = directory / CARD_NAME
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise FarziClientError(f"{path} is no data card of Farzi and would be lost; give another folder, or move it away")


def write_card(job: Job, data: Path, drawing: Drawing, sha256: str, report: Path | None = None) -> Path:
    """Write the card of ``data`` beside it.

    Args:
        job: the distillation that the sequences are of.
        data: the parquet file, already under its name.
        drawing: what was asked of the sequences.
        sha256: of the parquet file, as hex digits.
        report: the job's ``report.json``, which says how its students trained on hard sequences; None: nothing is said of it.
    """
    path = data.with_name(CARD_NAME)
    training = {} if report is None else _read_training(report)
    path.write_text(f"{_front_matter(job, data)}\n{_text(job, drawing, sha256, training)}", encoding="utf-8")
    return path


def _front_matter(job: Job, data: Path) -> str:
    # JSON is YAML: nothing that a user named can be taken for anything else.
    fields: dict[str, Any] = {
        "pretty_name": f"Hard sequences distilled by {job.id}",
        "tags": ["dataset-distillation", "farzi", "synthetic"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": data.name}]}],
    }
    return "\n".join(["---", *(f"{name}: {json.dumps(value)}" for name, value in fields.items()), "---", ""])


def _read_training(report: Path) -> dict[str, Any]:
    """Return what the report advises for hard sequences; nothing where it is of an earlier release."""
    try:
        training: dict[str, Any] = json.loads(report.read_text(encoding="utf-8")).get("training", {}).get("hard_sequences", {})
    except (ValueError, AttributeError) as error:
        raise IntegrityError(f"{report.name} cannot be read ({error}); download it again") from error
    return training


def _text(job: Job, drawing: Drawing, sha256: str, training: dict[str, Any]) -> str:
    synthetic = job.spec.get("synthetic") or {}
    made = {
        "job": job.id,
        "data set": job.dataset_id,
        "created": None if job.ended_at is None else job.ended_at.isoformat(),
        "preset": job.spec.get("preset"),
        "synthetic sequences": synthetic.get("num_sequences"),
        "length": synthetic.get("sequence_length"),
        "draws of each": drawing.draws or "as published",
        "seed of the draws": "published" if drawing.seed is None else drawing.seed,
        "SHA-256 of the file": sha256,
    }
    metrics = {name: value for name, value in sorted(job.metrics.items()) if name.startswith(METRICS_SHOWN)}
    return "\n".join(
        [
            MARK,
            "",
            "A few synthetic sequences that a model is trained on in the place of a whole data set, made by",
            "[dataset distillation](https://arxiv.org/abs/1811.10959) with Farzi. Nobody wrote or did what stands in a row:",
            "each was drawn, position by position, from learned distributions over the events of the data set.",
            "",
            _table("made from", made),
            "| column | what it holds |",
            "|---|---|",
            "| `sequence_id` | number of the row |",
            "| `source`, `draw` | the synthetic sequence a row was drawn from, and which draw of it |",
            "| `events` | ids or words, in order, as the data set has them |",
            "| `text` | the events joined; of a text only |",
            "",
            "```python",
            "from datasets import load_dataset",
            "",
            'sequences = load_dataset("path/to/this/folder", split="train")',
            "```",
            "",
            *([_table("measured by the job", metrics)] if metrics else []),
            *([_table("the job's students trained on hard sequences with", training)] if training else []),
            "How good a model trained on these rows is for the real data is in the job's `report.html`. The soft distributions",
            "themselves, which train better than draws from them, are in its `synthetic.safetensors`. A licence is for whoever",
            "publishes this to choose: the rows hold ids or words of the data set they were made from.",
            "",
        ]
    )


def _table(title: str, rows: dict[str, Any]) -> str:
    lines = [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items() if value is not None]
    return "\n".join([f"| {title} | |", "|---|---|", *lines, ""])


def _cell(value: Any) -> str:
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(shown.replace("|", "\\|").split())
