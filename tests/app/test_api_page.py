"""``/docs`` shows every operation with an example of each side and every error, and needs nothing but itself."""

from __future__ import annotations

import html
import json
import re
import shlex
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from app.api_page import render_api_page
from app.main import create_app
from app.openapi import operations
from app.openapi_errors import codes_of
from app.settings import Settings

DOCUMENT = create_app(Settings()).openapi()
PAGE = render_api_page(DOCUMENT)
SECTIONS = {
    match["id"]: match["text"]
    for match in re.finditer(r'<section class="operation" id="(?P<id>\w+)">(?P<text>.*?)</section>', PAGE, re.DOTALL)
}
OPERATIONS = {operation["operationId"]: (method, path, operation) for method, path, operation in operations(DOCUMENT)}
WEBHOOKS = {item["post"]["operationId"]: item["post"] for item in DOCUMENT["webhooks"].values()}
NAMES = sorted(OPERATIONS)


ACTIVE_TAGS = {"script", "link", "img", "iframe", "object", "embed", "base", "form"}


class Needs(HTMLParser):
    """Collects what a browser would load or run, and where links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ACTIVE_TAGS or given.keys() & {"src", "srcset", "style"}:
            self.loaded.append(tag)
        self.loaded += [name for name in given if name.startswith("on")]
        self.links += [given["href"] or ""] if "href" in given else []
        self.ids += [given["id"] or ""] if "id" in given else []


def shown_in(section: str) -> list[str]:
    return [html.unescape(text) for text in re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", section, re.DOTALL)]


def test_it_needs_nothing_but_itself(client: TestClient) -> None:
    answer = client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    needs = Needs()
    needs.feed(answer.text)
    assert needs.loaded == []
    assert "url(" not in answer.text
    assert "@import" not in answer.text
    assert len(needs.ids) == len(set(needs.ids))
    assert {link for link in needs.links if not link.startswith("#")} == {"/v1/openapi.json"}
    assert {link[1:] for link in needs.links if link.startswith("#")} <= set(needs.ids)


def test_every_operation_and_webhook_has_its_section() -> None:
    assert sorted(SECTIONS) == sorted([*OPERATIONS, *WEBHOOKS])


@pytest.mark.parametrize("name", NAMES)
def test_a_section_shows_request_answer_and_every_error(name: str) -> None:
    method, path, operation = OPERATIONS[name]
    section, shown = SECTIONS[name], shown_in(SECTIONS[name])
    for code in codes_of(method, operation):
        assert f"<code>{code}</code>" in section, code
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            example = content["example"]
            assert status in section
            assert (example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)) in shown
    for parameter in operation["parameters"]:
        assert f"<code>{parameter['name']}</code>" in section
    command = shlex.split(shown[0])
    assert command[0] == "curl"
    assert (command[command.index("-X") + 1] if "-X" in command else "GET") == method.upper()
    (url,) = [word for word in command if word.startswith("$URL")]
    assert re.fullmatch(re.sub(r"\\\{\w+\\\}", "[A-Za-z0-9_.]+", re.escape("$URL" + path)), url)
    if "-d" in command:
        example = operation["requestBody"]["content"]["application/json"]["example"]
        assert json.loads(command[command.index("-d") + 1]) == example
    assert ("Authorization: Bearer $FARZI_API_KEY" in command) == bool(operation.get("security"))


@pytest.mark.parametrize("name", sorted(WEBHOOKS))
def test_a_webhook_is_shown_with_its_body_and_headers(name: str) -> None:
    shown = shown_in(SECTIONS[name])
    assert json.loads(shown[0]) == WEBHOOKS[name]["requestBody"]["content"]["application/json"]["example"]
    assert not any("curl" in text for text in shown)
    for header in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        assert f"<code>{header}</code>" in SECTIONS[name]


def test_nothing_of_the_document_is_markup() -> None:
    hostile = json.loads(json.dumps(DOCUMENT))
    hostile["paths"]["/healthz"]["get"]["description"] = "<script>alert(1)</script> `<b>`"
    page = render_api_page(hostile)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; <code>&lt;b&gt;</code>" in page
