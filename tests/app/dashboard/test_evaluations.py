"""A result judged once more, from the form on its page."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from app.services import Services
from tests.app.dashboard.browsing import Browser, Markup
from tests.app.dashboard.publishing import make_ready_with_report, publish_result


@pytest.fixture(scope="module")
def job_id(client: TestClient, services: Services, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A distillation that has succeeded."""
    return publish_result(
        client, services, make_ready_with_report(client, services, "judged"), tmp_path_factory.mktemp("result")
    )


def filled_in(browser: Browser, job_id: str) -> dict[str, str]:
    fields = browser.look(f"/dashboard/jobs/{job_id}/evaluate").fields()
    return {name: value for name, value in fields.items() if name not in {"next", "theme", "csrf_token"}}


def test_the_page_of_a_result_leads_to_the_form(browser: Browser, job_id: str) -> None:
    assert browser.look(f"/dashboard/jobs/{job_id}/result").attributes("a", href=f"/dashboard/jobs/{job_id}/evaluate")
    page = browser.look(f"/dashboard/jobs/{job_id}/evaluate")
    (students,) = page.attributes("input", name="students")
    assert students["value"] == "sasrec, gru4rec, fmlp, narm"
    assert page.attributes("input", name="student.max_length")


def test_only_what_was_changed_is_asked_for(browser: Browser, client: TestClient, job_id: str) -> None:
    at = f"/dashboard/jobs/{job_id}/evaluate"
    changed = {"students": "gru4rec", "num_seeds": "1", "seed": "7", "labels": "name=carried over"}
    answer = browser.send(at, **(filled_in(browser, job_id) | changed))
    assert answer.status_code == 303, answer.text
    made = client.get(answer.headers["location"].replace("/dashboard", "/v1")).json()
    assert (made["kind"], made["source_job_id"], made["metadata"]) == ("evaluation", job_id, {"name": "carried over"})
    assert (made["spec"]["students"], made["spec"]["num_seeds"], made["spec"]["seed"]) == (["gru4rec"], 1, 7)
    body = {"kind": "evaluation", "job_id": job_id, "spec": {"students": ["gru4rec"], "num_seeds": 1, "seed": 7}}
    assert client.post("/v1/jobs", json=body).json()["spec"] == made["spec"]


def test_an_estimate_comes_before(browser: Browser, job_id: str) -> None:
    answer = browser.send(f"/dashboard/jobs/{job_id}/evaluate/estimate", **filled_in(browser, job_id))
    assert answer.status_code == 200, answer.text
    assert "nine in ten below" in Markup(answer.text).text


def test_a_wrong_field_is_marked(browser: Browser, job_id: str) -> None:
    answer = browser.send(f"/dashboard/jobs/{job_id}/evaluate", **(filled_in(browser, job_id) | {"students": "nobody"}))
    assert answer.status_code == 422
    page = Markup(answer.text)
    assert page.attributes("input", **{"name": "students", "aria-invalid": "true", "value": "nobody"})
    assert page.attributes("div", role="alert")


def test_an_evaluation_is_not_judged(browser: Browser, client: TestClient, job_id: str) -> None:
    made = client.post("/v1/jobs", json={"kind": "evaluation", "job_id": job_id, "spec": {}}).json()["id"]
    assert browser.get(f"/dashboard/jobs/{made}/evaluate").status_code == 422
