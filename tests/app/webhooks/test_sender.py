"""One POST: over real TLS, to the address that was checked, within its time, whatever the other side does."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
import trustme
from standardwebhooks import Webhook

from app.webhooks.sender import MAX_RESPONSE_BYTES, AttemptResult, Sender
from app.webhooks.signing import make_secret, signed_headers
from app.webhooks.targets import TargetPolicy
from tests.app.webhooks.receiver import Receiver, running_receiver

NAME = "hooks.example.com"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def serving_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Receiver]:
    with running_receiver(serving_context(authority, NAME)) as receiver:
        yield receiver


@pytest.fixture
def plain() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


def here(host: str, port: int) -> Sequence[str]:
    """Stand in for the name servers of the internet: every name is this machine."""
    return ["127.0.0.1"]


def post(url: str, context: ssl.SSLContext | None = None, *, timeout_s: float = 15.0, private: bool = True) -> AttemptResult:
    sender = Sender(TargetPolicy(private, here), context, timeout_s=timeout_s)
    return sender.send(url, {"webhook-id": "evt_1"}, b"{}")


def code_of(result: AttemptResult) -> str | None:
    return None if result.error is None else result.error.code


def test_https_with_the_name_of_the_url(secure: Receiver, trusting: ssl.SSLContext) -> None:
    secret, body = make_secret(), b'{"type":"webhook.test"}'
    headers = signed_headers([secret], "evt_1", datetime.now(UTC), body)
    sender = Sender(TargetPolicy(allow_private=True, resolve=here), trusting)
    result = sender.send(f"https://{NAME}:{secure.port}/path?a=b", headers, body)
    assert (result.status, result.error, result.response_body) == (200, None, "ok")
    (received,) = secure.received
    assert received.path == "/path?a=b"
    assert received.headers["host"] == f"{NAME}:{secure.port}"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"].startswith("Farzi/")
    assert secure.server_names == [NAME]
    assert Webhook(secret).verify(received.body, received.headers) == {"type": "webhook.test"}


def test_a_certificate_of_another_name_or_of_nobody(secure: Receiver, trusting: ssl.SSLContext) -> None:
    other = post(f"https://other.example.com:{secure.port}/", trusting)
    unknown = post(f"https://{NAME}:{secure.port}/")
    for result in (other, unknown):
        assert code_of(result) == "tls_failed"
        assert "certificate" in (result.error.message if result.error else "").lower()
    assert secure.received == []


def test_a_private_address_is_never_connected_to(secure: Receiver, trusting: ssl.SSLContext) -> None:
    assert code_of(post(f"https://{NAME}:{secure.port}/", trusting, private=False)) == "target_refused"
    assert code_of(post(f"https://127.0.0.1:{secure.port}/", trusting, private=False)) == "target_refused"
    assert secure.server_names == []


def test_rebinding_between_the_check_and_the_connection_is_not_possible(secure: Receiver, trusting: ssl.SSLContext) -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["93.184.216.34"] if len(asked) == 1 else ["127.0.0.1"]

    policy = TargetPolicy(resolve=rebinding)
    policy.addresses_of(NAME, secure.port, within_s=5)  # as when the endpoint was made
    result = Sender(policy, trusting).send(f"https://{NAME}:{secure.port}/", {}, b"{}")
    assert code_of(result) == "target_refused"
    assert asked == [NAME, NAME], "an attempt asks once, and connects to what it was told"
    assert secure.server_names == []


def test_a_proxy_of_the_environment_is_not_used(plain: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post(plain.url).status == 200


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(plain: Receiver, status: int) -> None:
    plain.status, plain.headers = status, {"Location": plain.url}
    result = post(plain.url)
    assert (result.status, code_of(result)) == (status, "unsuccessful_status")
    assert "redirects are not followed" in (result.error.message if result.error else "")
    assert len(plain.received) == 1


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_success_is_any_2xx(plain: Receiver, status: int) -> None:
    plain.status, plain.answer = status, b""
    assert (post(plain.url).status, post(plain.url).error) == (status, None)


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
def test_everything_else_is_failure(plain: Receiver, status: int) -> None:
    plain.status, plain.headers = status, {"Retry-After": "30"}
    result = post(plain.url)
    assert (result.status, code_of(result), result.retry_after) == (status, "unsuccessful_status", "30")


def test_of_the_answer_a_kilobyte_is_kept(plain: Receiver) -> None:
    plain.answer = b"\0" + b"x" * 5_000_000
    body = post(plain.url).response_body
    assert body is not None
    assert (len(body), body[:2]) == (MAX_RESPONSE_BYTES, "\ufffdx")


@contextmanager
def answering_by_hand(*pieces: bytes, then_hang: bool = False) -> Iterator[str]:
    """Accept connections and send ``pieces`` to each, with pauses; yield the URL."""
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65536)
                for piece in pieces:
                    connection.sendall(piece)
                    done.wait(0.05)
                if then_hang:
                    done.wait()
                # What is unread at the close would become a reset, and that is another failure than an end.
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        done.set()
        listener.shutdown(socket.SHUT_RDWR)


def test_the_time_is_for_everything_and_drops_of_an_answer_do_not_lengthen_it() -> None:
    with answering_by_hand(*[b"H"] * 10_000) as url:
        result = post(url, timeout_s=0.4)
    assert code_of(result) == "timeout"
    assert result.duration_s < 10, "each drop on its own would be in time for 500 s"


@pytest.mark.parametrize("then_hang", [False, True])
def test_a_body_that_breaks_off_or_never_ends_does_not_undo_the_status(then_hang: bool) -> None:
    with answering_by_hand(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nbegin", then_hang=then_hang) as url:
        result = post(url, timeout_s=3)  # a busy machine has to get as far as the body
    assert (result.status, result.error, result.response_body) == (200, None, "begin")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", "bad_response"),
        (b"SSH-2.0-OpenSSH_9.0\r\n", "bad_response"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000, "bad_response"),
        (b"HTTP/1.1 999 \r\n\r\n", "unsuccessful_status"),
    ],
)
def test_answers_that_are_none(answer: bytes, code: str) -> None:
    with answering_by_hand(answer) as url:
        assert code_of(post(url, timeout_s=30)) == code


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert code_of(post(f"http://127.0.0.1:{port}/")) == "connection_failed"


def test_of_several_addresses_one_that_answers_is_enough(plain: Receiver) -> None:
    policy = TargetPolicy(allow_private=True, resolve=lambda *_: ["127.0.0.2", "::1", "127.0.0.1"])
    result = Sender(policy).send(f"http://{NAME}:{plain.port}/", {}, b"{}")
    assert (result.status, result.error) == (200, None)


def test_no_address() -> None:
    result = Sender(TargetPolicy(allow_private=True, resolve=lambda *_: [])).send(f"https://{NAME}/", {}, b"{}")
    assert (code_of(result), result.status) == ("name_not_resolved", None)
