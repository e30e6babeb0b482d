"""What a webhook URL may be: its form, checked without the network, and the addresses behind its name."""

from __future__ import annotations

import ipaddress
import queue
import re
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from app.webhooks.addresses import is_public

DEFAULT_PORTS = {"https": 443, "http": 80}
FIRST_UNPRIVILEGED_PORT = 1024
HIGHEST_PORT = 65535
# Names that never lead to the public internet, whatever a resolver says of them.
PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_AUTHORITY = re.compile(r"[^:/?#]+://([^/?#]*)")
_PORT = re.compile(r"[0-9]*")

Resolver = Callable[[str, int], Sequence[str]]


class TargetRefusedError(Exception):
    """The URL is none that a webhook may be sent to; the message says what to change."""


class NameNotResolvedError(Exception):
    """The URL's name has no address now."""


@dataclass(frozen=True)
class Target:
    """A URL that was taken apart once, so that what is checked is what is connected to.

    Attributes:
        scheme: ``https``, or ``http`` where private targets are allowed.
        host: a name or an address in ASCII, without brackets.
        path: path and query, as they are sent.
    """

    scheme: str
    host: str
    port: int
    path: bytes

    @property
    def authority(self) -> str:
        """What the header Host carries."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def system_resolver(host: str, port: int) -> Sequence[str]:
    """Return every address of ``host``, in the order in which the system prefers them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True)
class TargetPolicy:
    """The rules, and who is asked for addresses.

    Attributes:
        allow_private: lets http, every port and every address pass: for development and tests.
    """

    allow_private: bool = False
    resolve: Resolver = system_resolver

    def parse(self, url: str) -> Target:
        """Return what ``url`` names.

        Raises:
            TargetRefusedError: it is not a URL that a webhook may have.
        """
        parsed = _parse(url)
        schemes = ("https", "http") if self.allow_private else ("https",)
        if parsed.scheme not in schemes:
            raise TargetRefusedError(f"the scheme is {parsed.scheme or 'missing'}; give an {' or '.join(schemes)} URL")
        if parsed.userinfo:
            raise TargetRefusedError("the URL has a user or password; remove it, the signature shows who is calling")
        if parsed.fragment:
            raise TargetRefusedError("the URL has a fragment, which is never sent; remove it")
        host = parsed.raw_host.decode("ascii").lower()
        port = parsed.port or DEFAULT_PORTS[parsed.scheme]
        self._check_host(host)
        if not self.allow_private and port != DEFAULT_PORTS["https"] and port < FIRST_UNPRIVILEGED_PORT:
            raise TargetRefusedError(f"the port is {port}; 443 and those from {FIRST_UNPRIVILEGED_PORT} on are allowed")
        return Target(parsed.scheme, host, port, parsed.raw_path)

    def addresses_of(self, host: str, port: int, *, within_s: float) -> Sequence[str]:
        """Return where to connect to.

        Raises:
            NameNotResolvedError: there is no address, or none in time.
            TargetRefusedError: at least one of the addresses is not public: who can change one can change all.
        """
        addresses = _resolve_within(self.resolve, host, port, within_s)
        if not addresses:
            raise NameNotResolvedError(f"{host} has no address")
        # Which address it is stays unsaid: it may be known inside this network only.
        if not self.allow_private and not all(is_public(address) for address in addresses):
            raise TargetRefusedError(f"{host} has an address that is not public; give a name that the whole internet can reach")
        return addresses

    def _check_host(self, host: str) -> None:
        labels = host.split(".")
        if _is_address(host):
            if not self.allow_private and not is_public(host):
                raise TargetRefusedError(f"{host} is not a public address; give a name that the whole internet can reach")
        elif not all(_LABEL.fullmatch(label) for label in labels):
            raise TargetRefusedError(f"{host[:100]!r} is not a host name; give one like hooks.example.com")
        elif _NUMBER.fullmatch(labels[-1]):
            raise TargetRefusedError(f"{host[:100]!r} is an address in an unusual form; write four decimal numbers, or a name")
        elif not self.allow_private and (len(labels) == 1 or host.endswith(PRIVATE_SUFFIXES)):
            raise TargetRefusedError(f"{host[:100]!r} is a name inside a network; give one that the whole internet can reach")


def _parse(url: str) -> httpx.URL:
    if any(ord(character) <= ord(" ") or ord(character) == 0x7F or character == "\\" for character in url):
        raise TargetRefusedError("the URL has a space, a control character or a backslash; percent-encode it")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise TargetRefusedError(f"the URL cannot be read: {error}") from None
    authority = _AUTHORITY.match(url)
    port = authority[1].rpartition("@")[2].rpartition("]")[2].partition(":")[2] if authority else ""
    if not _PORT.fullmatch(port):  # a URL has no signs, underscores and foreign digits, which Python reads as well
        raise TargetRefusedError(f"the port is {port[:20]!r}; write it in digits from 0 to 9, or leave it out")
    if parsed.port is not None and not 1 <= parsed.port <= HIGHEST_PORT:
        raise TargetRefusedError(f"the port is {parsed.port}; leave it out or give the one that you listen on")
    return parsed


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _resolve_within(resolve: Resolver, host: str, port: int, within_s: float) -> Sequence[str]:
    """Resolve on a thread of its own: the system's resolver takes no time limit, and a name's owner decides how slow it is."""
    answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def look() -> None:
        try:
            answers.put(resolve(host, port))
        except Exception as error:  # raised again below, on the thread that waits
            answers.put(error)

    threading.Thread(target=look, name="webhook-resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=max(within_s, 0.0))
    except queue.Empty:
        raise NameNotResolvedError(f"the name servers of {host} did not answer in time") from None
    if isinstance(answer, OSError | UnicodeError):
        raise NameNotResolvedError(f"{host} cannot be resolved: {getattr(answer, 'strerror', None) or answer}") from None
    if isinstance(answer, Exception):
        raise answer
    return answer
