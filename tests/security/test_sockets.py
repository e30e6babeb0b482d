"""Raw bytes on a socket: smuggled requests, heads without end, what is no HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.settings import Settings
from tests.app.driving import ADMIN_KEY, running_in_thread

KEY = f"Authorization: Bearer {ADMIN_KEY}\r\n"
HOST = "Host: farzi\r\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    fields = {"data_dir": Path(tmp_path_factory.mktemp("sockets")), "bootstrap_api_key": ADMIN_KEY, "rate_limit_per_s": 0}
    with running_in_thread(Settings.model_validate(fields)) as server:
        parts = urlsplit(server.url)
        assert parts.hostname is not None
        assert parts.port is not None
        yield parts.hostname, parts.port


def send(address: tuple[str, int], sent: str | bytes) -> bytes:
    """Return everything that the server says until it closes the connection or falls silent."""
    with socket.create_connection(address, timeout=2) as connection:
        connection.sendall(sent if isinstance(sent, bytes) else sent.encode("latin-1"))
        said = b""
        try:
            while piece := connection.recv(65536):
                said += piece
        except TimeoutError:
            pass
    return said


def code_of_raw(said: bytes) -> str:
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), said
    assert b"connection: close" in head.lower()
    assert said.count(b"HTTP/1.1 ") == 1, "a second request was carried out"
    code: str = json.loads(body)["code"]
    return code


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: 4, 5\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: a\nContent-Length: 4\r\n\x00",
    ],
)
def test_a_request_whose_end_is_not_clear_hides_no_other(address: tuple[str, int], head: str) -> None:
    smuggled = f"0\r\n\r\nGET /v1/api-keys HTTP/1.1\r\n{HOST}{KEY}\r\n"
    said = send(address, f"POST /v1/jobs HTTP/1.1\r\n{HOST}{KEY}Content-Type: application/json\r\n{head}\r\n{smuggled}")
    assert code_of_raw(said) == "bad_request"
    assert b'"scopes"' not in said


@pytest.mark.parametrize("name", ["Authorization", "Idempotency-Key", "Content-Type", "X-Request-Id", "Last-Event-ID"])
def test_a_header_that_is_read_once_is_sent_once(address: tuple[str, int], name: str) -> None:
    said = send(address, f"GET /v1/jobs HTTP/1.1\r\n{HOST}{KEY}{name}: a\r\n{name}: b\r\n\r\n")
    assert code_of_raw(said) == "bad_request"


def test_a_chunked_body_alone_is_read(address: tuple[str, int]) -> None:
    body = "2\r\n{}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: farzi\r\nConnection: close\r\n\r\n"
    said = send(
        address,
        f"POST /v1/datasets HTTP/1.1\r\n{HOST}{KEY}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{body}",
    )
    assert said.count(b"HTTP/1.1 ") == 2, "what is pipelined behind it is a request of its own"
    assert b"HTTP/1.1 422" in said


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: farzi\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\nX : y\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_problem_too(address: tuple[str, int], sent: bytes) -> None:
    assert code_of_raw(send(address, sent + b"\r\n\r\n")) == "bad_request"


@pytest.mark.parametrize(
    "sent",
    [
        f"GET /{'x' * 70_000} HTTP/1.1\r\n{HOST}\r\n",
        f"GET /healthz HTTP/1.1\r\n{HOST}X-Long: {'x' * 70_000}\r\n\r\n",
        f"GET /healthz HTTP/1.1\r\n{HOST}" + "".join(f"X-{number}: x\r\n" for number in range(10_000)) + "\r\n",
    ],
)
def test_url_and_headers_have_a_limit(address: tuple[str, int], sent: str) -> None:
    assert code_of_raw(send(address, sent)) == "request_head_too_large"


def test_the_host_that_a_request_names_is_believed_nowhere(address: tuple[str, int]) -> None:
    for path in ("/healthz", "/v1/openapi.json", "/docs", "/nope", "/v1/jobs"):
        said = send(
            address,
            f"GET {path} HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\n{KEY}Connection: close\r\n\r\n",
        )
        assert said.startswith(b"HTTP/1.1 ")
        assert b"evil.example" not in said


@pytest.mark.parametrize("origin", ["http://evil.example", "HTTPS://user@evil.example:8443", "http://a%2Fhealthz%3F"])
def test_a_target_with_a_host_is_its_path(address: tuple[str, int], origin: str) -> None:
    for target, status, found in (
        ("/healthz", b"200", b'"status"'),
        ("/v1/jobs?limit=1", b"200", b'"has_more"'),
        ("", b"200", b"</html>"),
        ("/v1/nope", b"404", b"/v1/nope"),
    ):
        said = send(address, f"GET {origin}{target} HTTP/1.1\r\n{HOST}{KEY}Connection: close\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 " + status), said
        assert found in said
        assert b"evil.example" not in said


def test_the_server_does_not_say_what_it_is(address: tuple[str, int]) -> None:
    said = send(address, f"GET /healthz HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
    assert b"\r\nserver:" not in said.lower()
    assert b"uvicorn" not in said.lower()
