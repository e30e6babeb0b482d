"""The whole path on one command, ``farzi serve``; and the same job when everything is killed in the middle of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import ServiceSettings
from tests.acceptance.interactions import InteractionFile
from tests.acceptance.main_path import (
    SMALL_SPEC,
    check_artifacts,
    run_main_path,
    submit_distillation,
    upload_dataset,
    wait_until,
    watch_until_ended,
)
from tests.acceptance.processes import farzi_process, wait_until_ready

pytestmark = pytest.mark.acceptance

READY_TARGET_S = 10.0


def test_upload_distil_download(embedded_settings: ServiceSettings, interactions: InteractionFile, tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    with farzi_process(["serve"], embedded_settings.variables, log) as server:
        assert wait_until_ready(embedded_settings.base_url, server, log) < READY_TARGET_S
        with embedded_settings.client() as http:
            run_main_path(http, interactions, tmp_path, timeout_s=300)


def test_a_killed_server_finishes_its_job_from_the_checkpoint(
    embedded_settings: ServiceSettings, interactions: InteractionFile, tmp_path: Path
) -> None:
    log = tmp_path / "serve.log"
    longer: dict[str, Any] = SMALL_SPEC | {"outer": SMALL_SPEC["outer"] | {"num_steps": 40, "validate_every": 20}}
    with farzi_process(["serve"], embedded_settings.variables, log) as server, embedded_settings.client() as http:
        wait_until_ready(embedded_settings.base_url, server, log)
        job_id = submit_distillation(http, upload_dataset(http, interactions), longer)
        wait_until("a checkpoint inside the distillation", lambda: _has_distillation_checkpoint(http, job_id), timeout_s=120)
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
    with farzi_process(["serve"], embedded_settings.variables, log) as server, embedded_settings.client() as http:
        wait_until_ready(embedded_settings.base_url, server, log)
        events = watch_until_ended(http, job_id, timeout_s=300)
        job = http.get(f"/v1/jobs/{job_id}").json()
        # The run ends in good order if its supervisor notices in time, and is lost if it does not.
        first, second = (run["outcome"] for run in job["runs"])
        assert first in {"released", "lost"}
        assert second == "succeeded"
        resumed_at = next(event["seq"] for event in events if event["type"] in {"run.released", "run.lost"})
        phases_after = [e["data"]["phase"] for e in events if e["type"] == "phase.started" and e["seq"] > resumed_at]
        assert "teacher" not in phases_after, "the second run began again instead of resuming"
        series = http.get(f"/v1/jobs/{job_id}/metrics").json()
        assert [point["step"] for point in series["outer_loss"]] == list(range(1, 41))
        check_artifacts(http, job_id, interactions, tmp_path)


def _has_distillation_checkpoint(http: httpx.Client, job_id: str) -> bool:
    events = http.get(f"/v1/jobs/{job_id}/events", params={"limit": 200}).json()["data"]
    phases = [event["seq"] for event in events if event["type"] == "phase.started" and event["data"]["phase"] == "distillation"]
    return bool(phases) and any(e["type"] == "checkpoint.written" and e["seq"] > phases[0] for e in events)
