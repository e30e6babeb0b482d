"""Jobs on pages: the spec builder, the list, what can be done with one, its curves, its result, and several side by side."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from app.dashboard.job_pages import PAGE_SIZE
from app.services import Services
from tests.app.dashboard.browsing import Browser, Markup
from tests.app.dashboard.publishing import MARKUP, publish_result, run_a_little
from tests.app.driving import claim_job, make_ready, submit


@pytest.fixture(scope="module")
def dataset_id(client: TestClient, services: Services) -> str:
    return make_ready(client, services)


@pytest.fixture(scope="module")
def job_id(client: TestClient, services: Services, dataset_id: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job that has succeeded."""
    return publish_result(client, services, dataset_id, tmp_path_factory.mktemp("result"))


def fill_in(browser: Browser, dataset_id: str, **changed: str) -> dict[str, str]:
    """Return the builder's fields as a browser would send them, some of them changed."""
    page = browser.look(f"/dashboard/jobs/new?dataset_id={dataset_id}")
    fields, select = page.fields(), ""
    chosen: dict[str, str] = {}
    for tag, attributes in page.elements:
        if tag == "select":
            select = str(attributes["name"])
        elif tag == "option" and (select not in chosen or "selected" in attributes):
            chosen[select] = attributes.get("value") or ""
    small = {"preset": "quick", "synthetic.num_sequences": "10", "synthetic.sequence_length": "20"}
    return {name: value for name, value in (fields | chosen).items() if name not in {"next", "theme"}} | small | changed


def test_what_is_not_changed_is_as_in_the_preset(browser: Browser, client: TestClient, dataset_id: str) -> None:
    answer = browser.send("/dashboard/jobs", **fill_in(browser, dataset_id))
    assert answer.status_code == 303, answer.text
    made = client.get(answer.headers["location"].replace("/dashboard", "/v1")).json()
    spec = {"preset": "quick", "synthetic": {"num_sequences": 10, "sequence_length": 20}}
    of_api = client.get(f"/v1/jobs/{submit(client, dataset_id, spec=spec)}").json()
    assert made["spec"] == of_api["spec"]


def test_every_kind_of_field_is_read(browser: Browser, client: TestClient, dataset_id: str) -> None:
    changed = {
        "inner.betas": "0.9, 0.99",
        "inner.batch_size": "5",
        "inner.learn_lr": "true",
        "meta_gradient.method": "stored",
        "meta_gradient.window": "",
        "outer.clip_norm": "2.5",
        "evaluation.students": "sasrec, narm",
        "evaluation.baselines": "",
        "evaluation.hard_variants": "2, argmax",
        "labels": "name=first try\nteam = blue",
        "deadline_s": "900",
    }
    answer = browser.send("/dashboard/jobs", **fill_in(browser, dataset_id, **changed))
    assert answer.status_code == 303, answer.text
    made = client.get(answer.headers["location"].replace("/dashboard", "/v1")).json()
    spec = made["spec"]
    assert spec["inner"] | {"betas": [0.9, 0.99], "batch_size": 5, "learn_lr": True} == spec["inner"]
    assert spec["meta_gradient"] == {"method": "stored", "window": None}
    assert spec["outer"]["clip_norm"] == 2.5
    assert spec["evaluation"]["students"] == ["sasrec", "narm"]
    assert spec["evaluation"]["baselines"] == []
    assert spec["evaluation"]["hard_variants"] == [2, "argmax"]
    assert made["metadata"] == {"name": "first try", "team": "blue"}
    assert made["deadline_s"] == 900


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("outer.num_steps", "many", "valid integer"),
        ("outer.num_steps", "0", "greater than or equal to 1"),
        ("synthetic.num_sequences", "9999", "choose at most 60"),
        ("inner.betas", "0.9", "Field required"),
        ("student.dropout", MARKUP, "valid number"),
        ("evaluation.students", "nobody", "sasrec"),
    ],
)
def test_a_bad_field_says_so_beside_itself(
    browser: Browser, client: TestClient, dataset_id: str, field: str, value: str, said: str
) -> None:
    before = len(client.get("/v1/jobs?limit=200").json()["data"])
    answer = browser.send("/dashboard/jobs", **fill_in(browser, dataset_id, **{field: value}))
    assert answer.status_code == 422
    page = Markup(answer.text)
    (given,) = page.attributes("input", name=field)
    assert given["aria-invalid"] == "true"
    assert given["value"] == value, "what was filled in stays"
    (problem,) = page.attributes("p", id=f"field-{field}-problem")
    assert f"field-{field}-problem" in str(given["aria-describedby"])
    assert problem
    assert said in page.text
    assert page.attributes("div", role="alert")
    assert len(client.get("/v1/jobs?limit=200").json()["data"]) == before


@pytest.mark.parametrize(("field", "value"), [("labels", "no pair"), ("deadline_s", "soon"), ("deadline_s", "0")])
def test_bad_labels_and_deadlines_are_refused_in_words(browser: Browser, dataset_id: str, field: str, value: str) -> None:
    answer = browser.send("/dashboard/jobs", **fill_in(browser, dataset_id, **{field: value}))
    assert answer.status_code == 422
    assert Markup(answer.text).attributes("div", role="alert")


def test_an_estimate_queues_nothing(browser: Browser, client: TestClient, dataset_id: str) -> None:
    before = client.get("/v1/jobs").json()
    answer = browser.send("/dashboard/jobs/estimate", **fill_in(browser, dataset_id, **{"outer.num_steps": "12"}))
    assert answer.status_code == 200
    page = Markup(answer.text)
    assert "nine in ten below" in page.text
    assert page.fields()["outer.num_steps"] == "12"
    assert client.get("/v1/jobs").json() == before


def test_a_form_that_is_sent_twice_makes_one_job(browser: Browser, client: TestClient, dataset_id: str) -> None:
    fields = fill_in(browser, dataset_id)
    first, second = (browser.send("/dashboard/jobs", **fields) for _ in range(2))
    assert first.headers["location"] == second.headers["location"]
    other = browser.send("/dashboard/jobs", **fill_in(browser, dataset_id))
    assert other.headers["location"] != first.headers["location"]


def test_a_job_is_steered_from_its_page(browser: Browser, client: TestClient, services: Services, dataset_id: str) -> None:
    job_id = submit(client, dataset_id)
    page = f"/dashboard/jobs/{job_id}"

    def status() -> str:
        return str(client.get(f"/v1/jobs/{job_id}").json()["status"])

    def buttons() -> set[str]:
        return {
            str(each["id"])[3:] for each in browser.look(page).attributes("button") if str(each.get("id")).startswith("do-")
        }

    assert buttons() == {"pause", "cancel"}
    for action, then, offered in (
        ("pause", "paused", {"resume", "cancel"}),
        ("resume", "queued", {"pause", "cancel"}),
        ("cancel", "cancelled", {"retry"}),
        ("retry", "queued", {"pause", "cancel"}),
    ):
        answer = browser.send(f"{page}/{action}")
        assert (answer.status_code, answer.headers["location"]) == (303, page)
        assert status() == then
        assert buttons() == offered
    run_a_little(services, claim_job(services, job_id))
    browser.send(f"{page}/pause")
    assert "a checkpoint is being written" in browser.look(page).text
    assert buttons() == {"cancel"}
    browser.send(f"{page}/cancel")
    assert status() == "cancelling"
    assert browser.send(f"{page}/retry").status_code == 409


def test_the_curves_of_a_running_job(browser: Browser, client: TestClient, services: Services, dataset_id: str) -> None:
    job_id = submit(client, dataset_id)
    waiting = browser.look(f"/dashboard/jobs/{job_id}")
    assert waiting.text.count("The outer loop has not begun.") == 2
    run_a_little(services, claim_job(services, job_id))
    page = browser.look(f"/dashboard/jobs/{job_id}/live")
    labels = [str(each["aria-label"]) for each in page.attributes("svg", role="img")]
    assert "outer loss from 4.9 at step 1 to 3 at step 20" in labels[0]
    assert "distilled, ndcg@10 from 0.2 at step 10 to 0.3 at step 20; full data 0.5; random sequences 0.1" in labels[1]
    assert "meta-gradient norm from 0.11 at step 1 to 0.3 at step 20" in labels[2]
    assert "50 %" in page.text
    assert "phase distillation" in page.text


def test_the_result_page(browser: Browser, job_id: str) -> None:
    page = browser.look(f"/dashboard/jobs/{job_id}/result?sequence=2")
    for said in ("90.0 %", "95 % interval 87 to 93", "0.3 %", "500 ms", "instead of 4.0 s", "21 trainings", "Student gru4rec"):
        assert said in page.text, said
    assert f"sasrec: too early {MARKUP}" in page.text
    assert "Distilled with sasrec" in page.text
    cells = page.attributes("rect")
    assert len([each for each in cells if str(each.get("fill-opacity", "")) != ""]) == 6 * 6 + 8
    assert page.text.count("Zoë") >= 2
    names = [str(each["href"]).rpartition("/")[2] for each in page.attributes("a") if "download" in each]
    assert names == ["report.json", "sequences.jsonl", "synthetic.safetensors", "vocabulary.json"]
    assert browser.get(f"/dashboard/jobs/{job_id}/result?sequence=4").status_code == 422
    assert browser.get(f"/dashboard/jobs/{job_id}/result?sequence=0").status_code == 422
    assert "To the same validation ndcg@10, training on the summary is 7.5 times as fast as on the full data." in page.text


def test_downloads_are_those_of_the_api(browser: Browser, client: TestClient, job_id: str) -> None:
    for name in ("report.json", "sequences.jsonl?draws=2&format=inter"):
        shown = browser.get(f"/dashboard/jobs/{job_id}/artifacts/{name}")
        of_api = client.get(f"/v1/jobs/{job_id}/artifacts/{name}")
        assert (shown.status_code, shown.content) == (200, of_api.content)
        assert shown.headers["content-disposition"].startswith("attachment")
    assert browser.get(f"/dashboard/jobs/{job_id}/artifacts/nope").status_code == 404


def test_a_job_without_a_result_says_so(browser: Browser, client: TestClient, dataset_id: str) -> None:
    answer = browser.get(f"/dashboard/jobs/{submit(client, dataset_id)}/result")
    assert answer.status_code == 404
    assert "no report yet" in answer.text


def test_the_stream_of_a_page_is_that_of_the_api(browser: Browser, client: TestClient, job_id: str) -> None:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "1"}
    shown = browser.get(f"/dashboard/jobs/{job_id}/events", headers=headers)
    assert shown.headers["content-type"].startswith("text/event-stream")
    assert shown.content == client.get(f"/v1/jobs/{job_id}/events/stream", headers=headers).content
    assert b"id: 2\n" in shown.content
    assert b"id: 1\n" not in shown.content


def test_jobs_side_by_side(browser: Browser, client: TestClient, dataset_id: str, job_id: str) -> None:
    other = submit(client, dataset_id, spec={"preset": "quick", "synthetic": {"num_sequences": 12, "sequence_length": 20}})
    page = browser.look(f"/dashboard/compare?ids={job_id}&ids={other}")
    assert "synthetic.num_sequences" in page.text
    assert "synthetic.sequence_length" not in page.text, "it is the same"
    assert page.text.index("ratio") < page.text.index("outer loss", page.text.index("Figures")), "what counts comes first"
    labels = [str(each["aria-label"]) for each in page.attributes("svg", role="img")]
    assert "from 0.2 at step 10 to 0.3 at step 20" in labels[0]
    assert "One job is chosen" in browser.look(f"/dashboard/compare?ids={job_id}").text
    assert browser.get(f"/dashboard/compare?ids={job_id}&ids={job_id}").status_code == 422
    assert browser.get(f"/dashboard/compare?ids={job_id}&ids=job_0").status_code == 404


def test_the_list_has_filters_and_pages(browser: Browser, client: TestClient, dataset_id: str) -> None:
    made = [submit(client, dataset_id, metadata={"sweep": "7"}) for _ in range(PAGE_SIZE + 2)]
    path, seen = "/dashboard/jobs?status=queued&kind=&label=sweep%3D7", list[str]()
    while path:
        page = browser.look(path)
        seen += [str(each["value"]) for each in page.attributes("input", type="checkbox")]
        following = page.attributes("a", rel="next")
        path = str(following[0]["href"]) if following else ""
        assert not path or parse_qs(urlsplit(path).query)["label"] == ["sweep=7"]
    assert seen == made[::-1]
    assert "No job passes these filters." in browser.look("/dashboard/jobs?label=sweep%3D8").text
    assert "No job passes these filters." in browser.look(f"/dashboard/jobs?dataset_id={dataset_id}&status=failed").text
    assert browser.get("/dashboard/jobs?label=sweep").status_code == 422
    assert browser.get("/dashboard/jobs?status=done").status_code == 422


def test_deleting_asks_first(browser: Browser, client: TestClient, services: Services, dataset_id: str, tmp_path: Path) -> None:
    job_id = publish_result(client, services, dataset_id, tmp_path)
    assert "Delete this job?" in browser.look(f"/dashboard/jobs/{job_id}/delete").text
    assert client.get(f"/v1/jobs/{job_id}").status_code == 200
    assert browser.send(f"/dashboard/jobs/{job_id}/delete").headers["location"] == "/dashboard/jobs"
    assert client.get(f"/v1/jobs/{job_id}").status_code == 404
