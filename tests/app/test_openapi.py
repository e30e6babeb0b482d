"""The OpenAPI document is one that a generator of clients and a reader can rely on: valid, complete, true to the routes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from app.errors import ERRORS
from app.main import create_app
from app.openapi import TAGS, operations
from app.openapi_errors import OWN
from app.openapi_links import LINKS
from app.settings import Settings
from app.tenants.schemas import Scope

DOCUMENT = create_app(Settings()).openapi()
OPERATIONS = {operation["operationId"]: (method, path, operation) for method, path, operation in operations(DOCUMENT)}
WITHOUT_OPERATION = {"method_not_allowed", "csrf_refused", "request_head_too_large", "route_not_found", "session_over"}
NAMES = sorted(OPERATIONS)


def resolve(described: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in described:
        target: Any = DOCUMENT
        for part in described["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        described = target
    return described


def responses(name: str) -> dict[str, dict[str, Any]]:
    return {status: resolve(response) for status, response in OPERATIONS[name][2]["responses"].items()}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def check_against_schema(example: Any, schema: dict[str, Any]) -> None:
    registry: Registry[Any] = Registry().with_resource("urn:document", DRAFT202012.create_resource(DOCUMENT))
    absolute = json.loads(json.dumps(schema).replace('"#/components', '"urn:document#/components'))
    OAS31Validator(absolute, registry=registry).validate(example)


def test_it_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["openapi"].startswith("3.1")
    assert DOCUMENT["servers"]
    assert DOCUMENT["info"]["license"]["identifier"] == "Apache-2.0"


def test_operation_ids_are_names_and_each_has_one() -> None:
    assert len(OPERATIONS) == len(list(operations(DOCUMENT)))
    assert [name for name in NAMES if not re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", name)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_is_described(name: str) -> None:
    _, _, operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"]
    assert set(operation["tags"]) <= set(TAGS)
    for parameter in operation.get("parameters", ()):
        assert parameter["schema"], parameter["name"]
    assert all(response["description"] not in {"", "Successful Response"} for response in responses(name).values())


@pytest.mark.parametrize("name", NAMES)
def test_every_request_and_success_has_an_example_that_is_true(name: str) -> None:
    _, _, operation = OPERATIONS[name]
    successes = [response for status, response in responses(name).items() if status.startswith("2")]
    assert successes
    for described in [*successes, operation.get("requestBody", {})]:
        for media_type, content in described.get("content", {}).items():
            if media_type == "application/json":
                check_against_schema(content["example"], content["schema"])
            elif described in successes:
                assert content["example"]


@pytest.mark.parametrize("name", NAMES)
def test_every_failure_is_a_problem_with_its_codes(name: str) -> None:
    method, _, operation = OPERATIONS[name]
    failures = {status: response for status, response in responses(name).items() if status[0] in "45"}
    assert "500" in failures
    assert set(failures) >= ({"401", "403", "422", "429", "503"} if "security" in operation else set())
    assert method != "post" or set(failures) >= {"400", "409", "413", "415"}
    for status, response in failures.items():
        ((media_type, content),) = response["content"].items()
        assert media_type == "application/problem+json"
        assert "X-Request-Id" in response["headers"]
        for code in content["schema"]["properties"]["code"]["enum"]:
            assert ERRORS[code].status == int(status)
            check_against_schema(resolve(content["examples"][code])["value"], content["schema"])


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_but_those_of_the_system_needs_a_key_and_names_its_scope(name: str) -> None:
    _, path, operation = OPERATIONS[name]
    if path.startswith("/v1/"):
        ((scheme, scopes),) = operation["security"][0].items()
        assert scheme in DOCUMENT["components"]["securitySchemes"]
        assert len(scopes) == 1
        assert scopes[0] in set(Scope)
    else:
        assert "security" not in operation


@pytest.mark.parametrize("name", [name for name in NAMES if OPERATIONS[name][0] == "post"])
def test_every_post_takes_an_idempotency_key_and_says_where_what_it_made_is(name: str) -> None:
    _, _, operation = OPERATIONS[name]
    assert "Idempotency-Key" in {parameter["name"] for parameter in operation["parameters"]}
    for status, response in responses(name).items():
        if status.startswith("2"):
            assert "Idempotent-Replayed" in response["headers"]
            assert status not in {"201", "202"} or "Location" in response["headers"]


def test_the_headers_that_are_read_are_parameters() -> None:
    read = {
        name: {item["name"] for item in OPERATIONS[name][2]["parameters"] if item["in"] == "header"} - {"X-Request-Id"}
        for name in NAMES
        if OPERATIONS[name][1].startswith("/v1/") and OPERATIONS[name][0] != "post"
    }
    assert {name: headers for name, headers in read.items() if headers} == {
        "download_artifact": {"Range", "If-Range", "If-None-Match"},
        "put_part": {"Content-Digest", "Repr-Digest"},
        "stream_events": {"last-event-id"},
        "upload_content": {"Content-Digest", "Content-Encoding", "Repr-Digest"},
    }


@pytest.mark.parametrize("name", NAMES)
def test_answers_declare_their_headers(name: str) -> None:
    for status, response in responses(name).items():
        assert "X-Request-Id" in response["headers"]
        limited = "security" in OPERATIONS[name][2] and status != "401"
        assert not limited or {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} <= response["headers"].keys()
        for header in response["headers"].values():
            assert resolve(header)["description"]


def test_a_download_declares_what_it_sends() -> None:
    of_a_file = {"Accept-Ranges", "Content-Disposition", "ETag", "Repr-Digest"}
    answers = {status: response["headers"].keys() for status, response in responses("download_artifact").items()}
    assert answers["200"] >= of_a_file
    assert answers["206"] >= of_a_file | {"Content-Range"}
    assert answers["304"] >= of_a_file
    assert "Content-Range" in answers["416"]
    assert "Location" in answers["307"]


def test_every_get_has_its_head() -> None:
    for path, item in DOCUMENT["paths"].items():
        assert ("head" in item) == ("get" in item), path
        if "get" in item:
            head = item["head"]
            assert head["operationId"] == f"head_{item['get']['operationId']}"
            assert head["parameters"] == item["get"]["parameters"]
            assert head.get("security") == item["get"].get("security")
            assert all("content" not in response and response["headers"] for response in head["responses"].values())
            assert set(item["get"]["responses"]) - set(head["responses"]) <= {"307"}  # a URL that is signed for GET


def value_at(expression: str, path: str, example: Any) -> Any:
    """Return what a link's expression finds in an example of the answer, or the name of the path's parameter."""
    if name := re.fullmatch(r"\$request\.path\.(\w+)", expression):
        assert f"{{{name[1]}}}" in path
        return name[1]
    for part in expression.removeprefix("$response.body#/").split("/"):
        example = example[int(part) if isinstance(example, list) else part]
    return example


def test_links_lead_on() -> None:
    linked = set()
    for name in NAMES:
        _, path, _ = OPERATIONS[name]
        for status, response in responses(name).items():
            for link in response.get("links", {}).values():
                _, target, operation = OPERATIONS[link["operationId"]]
                linked.add((name, status, link["operationId"]))
                assert set(link["parameters"]) == set(re.findall(r"\{(\w+)\}", target))
                in_path = {item["name"]: item for item in operation["parameters"] if item["in"] == "path"}
                example = response["content"]["application/json"]["example"]
                for parameter, expression in link["parameters"].items():
                    found = value_at(expression, path, example)
                    assert found == parameter or re.fullmatch(in_path[parameter]["schema"].get("pattern", ".+"), str(found))
    assert {(name, status) for name, status, _ in linked} == set(LINKS)


@pytest.mark.parametrize("name", [name for name in NAMES if OPERATIONS[name][0] == "post"])
def test_what_was_made_can_be_looked_at(name: str) -> None:
    for status, response in responses(name).items():
        if "Location" in response.get("headers", {}):
            looked_at = {OPERATIONS[link["operationId"]][0] for link in response["links"].values()}
            assert "get" in looked_at, (name, status)


def test_every_tag_is_explained_and_used() -> None:
    assert {tag["name"] for tag in DOCUMENT["tags"] if tag["description"]} == set(TAGS)
    assert {tag for _, _, operation in OPERATIONS.values() for tag in operation["tags"]} == set(TAGS)


def test_nothing_dangles() -> None:
    used = set(references(DOCUMENT))
    for reference in used:
        resolve({"$ref": reference})
    for kind in ("schemas", "responses", "examples", "headers"):
        defined = {f"#/components/{kind}/{name}" for name in DOCUMENT["components"][kind]}
        assert sorted(defined - used) == [], f"{kind} that nothing refers to"


def test_every_code_belongs_to_an_operation() -> None:
    documented = {
        code
        for name in NAMES
        for status, response in responses(name).items()
        if status[0] in "45"
        for code in response["content"]["application/problem+json"]["schema"]["properties"]["code"]["enum"]
    }
    assert sorted(set(ERRORS) - documented - WITHOUT_OPERATION) == [], "name them in app/openapi_errors.py"
    assert documented & WITHOUT_OPERATION == set()
    assert sorted(set(OWN) - set(OPERATIONS)) == [], "operations that are gone"
