"""The shell blocks of docs/api run as they stand, one page after the other, against a service on a socket."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from app import request_log
from app.datasets.models import Dataset, DatasetStatus
from app.openapi import DOCS
from tests.app.driving import ADMIN, ADMIN_KEY, RunningServer, make_ready, submit, validate
from tests.app.jobs.test_drawing import FORMS, TOKENS, publish
from tests.app.test_serve import wait_for
from tests.project.repository import fenced_blocks
from tests.services.processes import service_missing

PAGES = sorted(path.stem for path in (DOCS / "api").glob("*.md"))
FILE = "".join(f"{user}\t{item}\t{rating}\t{881250949 + item}\n" for user in range(9) for item in range(5) for rating in (3,))
# What a page shows is refused as it stands: a job that runs nowhere has no result.
REFUSALS = {"jobs": {("POST", "/v1/jobs", 409), ("DELETE", "/v1/jobs/{job_id}", 409)}}
START = """
set -euo pipefail
URL={url}
AUTH="Authorization: Bearer {key}"
JSON="Content-Type: application/json"
field() {{ python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }}
"""


class RequestRecorder(logging.Handler):
    """Keeps method, route and status of every request that the service logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str, int]] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.msg
        if isinstance(line, dict) and line.get("event") == "request":
            self.lines.append((line["method"], line["route"], line["status"]))


@pytest.fixture
def answered() -> Iterator[RequestRecorder]:
    recorder, logger = RequestRecorder(), logging.getLogger(request_log.__name__)
    logger.addHandler(recorder)
    yield recorder
    logger.removeHandler(recorder)


def test_the_start_of_the_guide_is_the_start_of_this_test() -> None:
    (block,) = [text for language, _, text in fenced_blocks("docs/api.md") if language == "sh" and "field()" in text]
    for line in START.format(url="", key="$FARZI_BOOTSTRAP_API_KEY").splitlines():
        assert line in block or line.startswith(("set ", "URL="))


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_do_what_it_says(
    server: RunningServer, tmp_path: Path, answered: RequestRecorder, page: str
) -> None:
    for program in ("curl", "openssl"):
        if shutil.which(program) is None:
            service_missing(f"{program} is missing")
    blocks = [text for language, _, text in fenced_blocks(f"docs/api/{page}.md") if language == "sh"]
    assert blocks, "a page without an example"
    (tmp_path / "u.data").write_text(FILE)
    (tmp_path / "published").mkdir()
    with httpx.Client(base_url=server.url, headers=ADMIN, timeout=30) as client:
        dataset_id = make_ready(client, server.services)
        with server.services.sessions.begin() as session:  # large enough for the presets, as MovieLens-100K is
            row = session.get_one(Dataset, dataset_id)
            row.num_sequences, row.num_events, row.vocab_size, row.max_sequence_length = 943, 100_000, 1682, 737
        variables = {"DATASET": dataset_id, "OTHER_JOB": submit(client, dataset_id)}
        if page == "artifacts":
            tokens = (*TOKENS[:3], "4", "5")
            variables["JOB"] = publish(client, server.services, tmp_path / "published", FORMS[0], tokens=tokens)
        else:
            variables["JOB"] = submit(client, dataset_id)
            if page == "events":
                client.post(f"/v1/jobs/{variables['JOB']}/cancel")
    script = START.format(url=server.url, key=ADMIN_KEY) + "".join(f"{name}={value}\n" for name, value in variables.items())
    answered.lines.clear()
    done = threading.Event()
    validator = threading.Thread(target=_validate_uploads, args=(server, done))
    validator.start()
    try:
        ran = subprocess.run(
            ["bash", "-c", script + "\n".join(blocks)],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        done.set()
        validator.join()
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    num_calls = sum(len(re.findall(r"\bcurl\b", block)) for block in blocks)
    assert num_calls > 0
    wait_for(lambda: len(answered.lines) >= num_calls, "a log line for every call; it is written after the answer")
    refused = {line for line in answered.lines if line[2] >= 400}
    assert refused <= REFUSALS.get(page, set()), ran.stdout


def _validate_uploads(server: RunningServer, done: threading.Event) -> None:
    """Stand in for the worker."""
    while not done.wait(0.2):
        with server.services.reading_sessions() as session:
            waiting = session.scalars(select(Dataset.id).where(Dataset.status == DatasetStatus.VALIDATING)).all()
        for dataset_id in waiting:
            validate(server.services, dataset_id)
