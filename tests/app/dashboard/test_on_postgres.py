"""Pages on Postgres, behind its second wall: what is one's own is shown and changed, what is another's is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.services import Services
from app.settings import Settings
from tests.app.dashboard.browsing import Browser
from tests.app.dashboard.publishing import make_ready_with_report, publish_result
from tests.app.driving import ADMIN, ADMIN_KEY, add_tenant_with_key

pytestmark = pytest.mark.service


def test_own_pages_and_those_of_others(postgres_url: str, tmp_path: Path) -> None:
    fields = {"data_dir": tmp_path / "data", "bootstrap_api_key": ADMIN_KEY, "database_url": postgres_url}
    application = create_app(Settings.model_validate(fields))
    with TestClient(application, headers=ADMIN) as client:
        services: Services = application.state.services
        dataset_id = make_ready_with_report(client, services)
        job_id = publish_result(client, services, dataset_id, tmp_path)
        owner, stranger = Browser(application), Browser(application)
        owner.sign_in(ADMIN_KEY)
        stranger.sign_in(add_tenant_with_key(services))
        pages = (
            f"/dashboard/datasets/{dataset_id}",
            f"/dashboard/jobs/{job_id}",
            f"/dashboard/jobs/{job_id}/result",
            f"/dashboard/jobs/{job_id}/events",
            f"/dashboard/jobs/new?dataset_id={dataset_id}",
        )
        assert [owner.get(path).status_code for path in (*pages, "/", "/dashboard/jobs")] == [200] * 7
        assert [stranger.get(path).status_code for path in (*pages, "/", "/dashboard/jobs")] == [404] * 5 + [200] * 2
        assert stranger.look("/dashboard/jobs").text.count("No job yet") == 1
        assert stranger.send(f"/dashboard/jobs/{job_id}/delete").status_code == 404
        assert owner.send(f"/dashboard/jobs/{job_id}/delete").status_code == 303
        assert owner.send(f"/dashboard/datasets/{dataset_id}/delete").status_code == 303
        assert owner.get(pages[0]).status_code == 404
