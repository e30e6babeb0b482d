"""What a browser does without scripts: it keeps cookies, asks for HTML, and sends the forms that it was given."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Markup(HTMLParser):
    """Every element of a page, with its attributes, and the text of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._text).split())

    def attributes(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of a name that has these."""
        return [given for name, given in self.elements if name == tag and wanted.items() <= given.items()]

    def fields(self) -> dict[str, str]:
        """Return what the page's fields are filled with at first."""
        named = [given for _, given in self.elements if given.get("name") and given.get("type") != "checkbox"]
        return {str(given["name"]): given.get("value") or "" for given in named}


class Browser:
    """A browser of its own."""

    def __init__(self, application: FastAPI) -> None:
        self.http = TestClient(application, headers=HTML, raise_server_exceptions=False, follow_redirects=False)

    def sign_in(self, key: str, **fields: str) -> Any:
        return self.http.post("/dashboard/sign-in", data={"api_key": key, **fields})

    def get(self, path: str, **options: Any) -> Any:
        return self.http.get(path, **options)

    def look(self, path: str) -> Markup:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        return Markup(answer.text)

    @property
    def csrf_token(self) -> str:
        (meta,) = Markup(self.get("/").text).attributes("meta", name="csrf-token")
        return meta["content"] or ""

    def send(self, path: str, **fields: str) -> Any:
        """Send a form of a page of this session."""
        return self.http.post(path, data={"csrf_token": self.csrf_token, **fields})
