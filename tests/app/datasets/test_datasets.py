"""Data sets: declared, looked at, deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.datasets.report_schemas import ReportOut
from app.services import Services
from app.storage import ObjectMissingError
from farzi_core.data.reading import read_dataset
from tests.app.driving import CONTENT, claim_job, code_of, declare, make_invalid, make_ready, pointers_of, submit, upload

OPTIONAL = ("dropped_rows", "reading", "histograms", "statistics")


def test_a_declared_data_set_awaits_its_upload(client: TestClient) -> None:
    body = {
        "name": " ratings ",
        "task": "sequential_recommendation",
        "format": "tsv",
        "columns": {"user": 0, "item": 1, "timestamp": 3},
        "options": {"header": False},
        "metadata": {"team": "search"},
    }
    answer = client.post("/v1/datasets", json=body)
    assert answer.status_code == 201
    dataset = answer.json()
    assert answer.headers["location"] == f"/v1/datasets/{dataset['id']}"
    assert dataset["id"].startswith("ds_")
    assert (dataset["name"], dataset["status"]) == ("ratings", "awaiting_upload")
    assert dataset["columns"]["timestamp"] == 3
    assert dataset["options"]["header"] is False
    assert dataset["metadata"] == {"team": "search"}
    assert dataset["created_at"].endswith("Z")
    assert client.get(f"/v1/datasets/{dataset['id']}").json() == dataset


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"format": "xlsx"}, "/format"),
        ({"columns": {"usr": "u"}}, "/columns/usr"),
        ({"columns": {"user": -1}}, "/columns/user"),
        ({"options": {"heading": True}}, "/options/heading"),
        ({"options": {"min_rating": 3}}, ""),
        ({"format": "text"}, ""),
        ({"format": "sequences", "columns": {"user": 0}}, ""),
        ({"task": "language_modeling"}, ""),
        ({"task": "language_modeling", "format": "sequences"}, ""),
        ({"task": "language_modeling", "format": "text", "columns": {"user": 0}}, ""),
        ({"columns": {"user": "id", "item": "id"}}, ""),
        ({"columns": {"user": 1, "item": 0, "timestamp": 1}}, ""),
        ({"columns": {"user": "item"}}, ""),
        ({"columns": {"rating": "user"}, "options": {"min_rating": 3}}, ""),
        ({"metadata": {"k" * 65: "v"}}, "/metadata/" + "k" * 65),
        ({"metadata": {"a[b]": "v"}}, "/metadata/a[b]"),
        ({"metadata": {str(number): "v" for number in range(51)}}, "/metadata"),
    ],
)
def test_bad_declarations(client: TestClient, fields: dict[str, Any], pointer: str) -> None:
    body = {"name": "x", "task": "sequential_recommendation", "format": "csv"} | fields
    answer = client.post("/v1/datasets", json=body)
    assert code_of(answer, 422) == "invalid_request"
    assert set(pointers_of(answer)) == {pointer}
    assert client.get("/v1/datasets").json()["data"] == []


@pytest.mark.parametrize(
    "columns", [{"user": 1, "item": 0, "timestamp": None}, {"user": "item", "item": "user"}, {"rating": "user"}]
)
def test_columns_may_be_any_as_long_as_each_is_read_once(client: TestClient, columns: dict[str, Any]) -> None:
    assert declare(client, columns=columns)


def test_lists_come_in_pages_newest_first(client: TestClient) -> None:
    ids = [declare(client, name=f"set {number}") for number in range(5)]
    first = client.get("/v1/datasets?limit=2").json()
    assert first["has_more"] is True
    newer = declare(client)
    second = client.get("/v1/datasets", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    third = client.get("/v1/datasets", params={"limit": 2, "cursor": second["next_cursor"]}).json()
    found = [item["id"] for page in (first, second, third) for item in page["data"]]
    assert found == ids[::-1]
    assert newer not in found
    assert (third["has_more"], third["next_cursor"]) == (False, None)


def test_report_and_preview_come_with_validation(client: TestClient, services: Services) -> None:
    waiting = upload(client)
    for part in ("report", "preview"):
        assert code_of(client.get(f"/v1/datasets/{waiting}/{part}"), 409) == "dataset_not_ready"
    ready = make_ready(client, services)
    assert client.get(f"/v1/datasets/{ready}/preview").json() == {
        "data": [{"name": "1", "num_events": 2, "events": ["2", "3"]}]
    }
    assert client.get(f"/v1/datasets/{ready}/report").json()["num_problems"] == 0
    invalid = make_invalid(client, services)
    assert client.get(f"/v1/datasets/{invalid}").json()["status"] == "invalid"
    assert client.get(f"/v1/datasets/{invalid}/report").json()["problems"][0]["reason"] == "line 2 has 1 field"
    assert client.get(f"/v1/datasets/{invalid}/preview").json() == {"data": []}


def test_reports_have_one_shape(client: TestClient, services: Services, tmp_path: Path) -> None:
    """What validation writes, whole or cut short, is what the API documents; nothing is left out."""
    (tmp_path / "good").write_text("user,item,timestamp\n" + "".join(f"{n % 5},{n % 3},{n}\n" for n in range(30)))
    (tmp_path / "text").write_text("a b c\n" * 20 + "d a\n")
    read = [
        read_dataset(tmp_path / "good", task="sequential_recommendation", format="csv").report,
        read_dataset(tmp_path / "text", task="language_modeling", format="text").report,
        read_dataset(tmp_path / "text", task="sequential_recommendation", format="sequences").report,
        read_dataset(tmp_path / "good", task="sequential_recommendation", format="parquet").report,
    ]
    for report in read:
        shown = ReportOut.model_validate(report).model_dump(exclude_unset=True)
        assert shown == {key: value or (value if key not in OPTIONAL else None) for key, value in report.items()}
    invalid = client.get(f"/v1/datasets/{make_invalid(client, services)}/report").json()
    assert invalid.keys() == ReportOut.model_fields.keys()
    assert [invalid[key] for key in OPTIONAL] == [None] * len(OPTIONAL)
    assert (invalid["num_rows"], invalid["problem_counts"], invalid["warnings"]) == (None, {}, [])


def test_validations_are_not_the_callers_jobs(client: TestClient) -> None:
    upload(client)
    assert client.get("/v1/jobs").json()["data"] == []


def test_deleting_removes_row_and_bytes(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    key = _content_key(services, dataset_id)
    assert services.store.stat(key).size_bytes == len(CONTENT)
    assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 204
    assert code_of(client.get(f"/v1/datasets/{dataset_id}"), 404) == "dataset_not_found"
    assert code_of(client.delete(f"/v1/datasets/{dataset_id}"), 404) == "dataset_not_found"
    assert client.get("/v1/datasets").json()["data"] == []
    with pytest.raises(ObjectMissingError):
        services.store.stat(key)


def test_a_data_set_in_use_stays(client: TestClient, services: Services) -> None:
    assert code_of(client.delete(f"/v1/datasets/{upload(client)}"), 409) == "dataset_in_use"
    dataset_id = make_ready(client, services)
    job_id = submit(client, dataset_id)
    assert code_of(client.delete(f"/v1/datasets/{dataset_id}"), 409) == "dataset_in_use"
    claim_job(services, job_id)
    assert code_of(client.delete(f"/v1/datasets/{dataset_id}"), 409) == "dataset_in_use"


def test_a_deleted_data_set_cannot_be_used_again(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    job_id = submit(client, dataset_id)
    client.post(f"/v1/jobs/{job_id}/cancel")
    assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 204
    assert client.get(f"/v1/jobs/{job_id}").json()["dataset_id"] == dataset_id
    assert code_of(client.post(f"/v1/jobs/{job_id}/retry"), 409) == "dataset_deleted"
    again = client.post("/v1/jobs", json={"kind": "distillation", "dataset_id": dataset_id})
    assert code_of(again, 404) == "dataset_not_found"


def _content_key(services: Services, dataset_id: str) -> str:
    with services.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"SELECT content_key FROM datasets WHERE id = '{dataset_id}'")
        return str(rows.scalar_one())
