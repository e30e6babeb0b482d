"""No URL and no answer of a resolver leads a webhook to anything but the public internet."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Sequence

import pytest

from app.webhooks.addresses import is_public
from app.webhooks.schemas import URL_FORM
from app.webhooks.targets import NameNotResolvedError, TargetPolicy, TargetRefusedError

HOSTILE_URLS = [
    # schemes and forms
    "http://hooks.example.com/",
    "ftp://hooks.example.com/",
    "file:///etc/passwd",
    "gopher://hooks.example.com/",
    "unix:/var/run/docker.sock",
    "//hooks.example.com/",
    "hooks.example.com",
    "https:/hooks.example.com",
    "https://",
    "https:///path",
    "https://user@hooks.example.com/",
    "https://user:password@hooks.example.com/",
    "https://hooks.example.com@127.0.0.1/",
    "https://127.0.0.1#@hooks.example.com/",
    "https://hooks.example.com/#fragment",
    "https://127.0.0.1\\@hooks.example.com/",
    "https://hooks.example.com/\r\nX-Injected: 1",
    "https://hooks.example.com/\nHost: 127.0.0.1",
    "https://hooks.example.com\t/",
    "https://hooks.example.com /",
    "https://hooks.example.com/\x00",
    "https://127.0.0.1%2f@hooks.example.com/",
    # ports
    "https://hooks.example.com:0/",
    "https://hooks.example.com:-1/",
    "https://hooks.example.com:22/",
    "https://hooks.example.com:25/",
    "https://hooks.example.com:80/",
    "https://hooks.example.com:65536/",
    "https://hooks.example.com:443:22/",
    "https://hooks.example.com:٤٤٣/",
    "https://hooks.example.com:+443/",
    "https://hooks.example.com:4_43/",
    "https://[2606:4700::1111]:\uff18443/",
    # names inside a network
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://hooks.localhost/",
    "https://printer.local/",
    "https://metadata.google.internal/",
    "https://router.home.arpa/",
    "https://postgres/",
    "https://metadata/",
    "https://hooks..example.com/",
    "https://-hooks.example.com/",
    "https://hooks%2eexample.com/",
    "https://ⓛocalhost/",
    # addresses, plain and in forms that some resolvers understand
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.0.1./",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://0x7f.1/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://127.0.0.01/",
    "https://①②⑦.⓪.⓪.①/",
    "https://0.0.0.0/",
    "https://0/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://192.0.0.192/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[::127.0.0.1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::808:808]/",
    "https://[64:ff9b:1::1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:808:808::1]/",
    "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[100::1]/",
    "https://[fec0::1]/",
    "https://[::1",
    "https://[2606:4700:4700::1111%25eth0]/",
]
HOSTILE_ADDRESSES = [
    "0.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "172.31.255.255",
    "192.0.0.9",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "233.252.0.1",
    "240.0.0.1",
    "::ffff:0:127.0.0.1",
    "::ffff:169.254.169.254",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2620:4f:8000::1",
    "5f00::1",
    "4000::1",
    "fe80::1%eth0",
    "ff0e::1",
    "not an address",
    "",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"]


def answering(*answers: Sequence[str]) -> TargetPolicy:
    """Return a policy whose resolver gives one answer after the other."""
    left = list(answers)
    return TargetPolicy(resolve=lambda _host, _port: left.pop(0))


def test_there_are_enough_of_them() -> None:
    assert len(set(HOSTILE_URLS)) == len(HOSTILE_URLS) >= 60


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_a_hostile_url_is_refused_without_the_network(url: str) -> None:
    with pytest.raises(TargetRefusedError) as refused:
        TargetPolicy().parse(url)
    assert len(str(refused.value)) > 20


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES)
def test_a_name_with_such_an_address_is_refused(address: str) -> None:
    assert not is_public(address)
    for addresses in ([address], ["8.8.8.8", address], [address, "8.8.8.8"]):
        with pytest.raises(TargetRefusedError) as refused:
            answering(addresses).addresses_of("hooks.example.com", 443, within_s=5)
        assert not address or address not in str(refused.value), "what a name means inside the network stays inside"


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert is_public(address)
    host = f"[{address}]" if ":" in address else address
    assert TargetPolicy().parse(f"https://{host}/x").host == address


@pytest.mark.parametrize("port", [1, 80, 443, 444, 1023, 1024, 1100, 9999, 59999, 60000, 65535, 65536])
def test_the_document_admits_the_ports_that_are_taken(port: int) -> None:
    url = f"https://hooks.example.com:{port}/a%20b?c=%2F"
    is_admitted = re.fullmatch(URL_FORM, url) is not None
    if is_admitted:
        assert TargetPolicy().parse(url).port == port
    else:
        with pytest.raises(TargetRefusedError):
            TargetPolicy().parse(url)


def test_a_name_is_judged_anew_each_time() -> None:
    rebinding = answering(["93.184.216.34"], ["127.0.0.1"])
    assert rebinding.addresses_of("rebind.example.com", 443, within_s=5) == ["93.184.216.34"]
    with pytest.raises(TargetRefusedError):
        rebinding.addresses_of("rebind.example.com", 443, within_s=5)


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://Hooks.Example.com", "hooks.example.com", 443, b"/", "hooks.example.com"),
        ("https://hooks.example.com:443/a?b=c", "hooks.example.com", 443, b"/a?b=c", "hooks.example.com"),
        ("https://hooks.example.com:8443/", "hooks.example.com", 8443, b"/", "hooks.example.com:8443"),
        ("https://bücher.example/ü", "xn--bcher-kva.example", 443, b"/%C3%BC", "xn--bcher-kva.example"),
        ("https://[2606:4700:4700::1111]:8443/", "2606:4700:4700::1111", 8443, b"/", "[2606:4700:4700::1111]:8443"),
    ],
)
def test_a_good_url_is_taken_apart_once(url: str, host: str, port: int, path: bytes, authority: str) -> None:
    target = TargetPolicy().parse(url)
    assert (target.scheme, target.host, target.port, target.path) == ("https", host, port, path)
    assert target.authority == authority


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/", "http://localhost/", "https://postgres:22/", "http://[::1]:8080/"])
def test_private_targets_may_be_allowed(url: str) -> None:
    target = TargetPolicy(allow_private=True, resolve=lambda *_: ["127.0.0.1"]).parse(url)
    assert target.scheme in {"http", "https"}


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "https://user@localhost/", "https://localhost:0/", "http://0x7f.1/"])
def test_even_then_not_everything_is(url: str) -> None:
    with pytest.raises(TargetRefusedError):
        TargetPolicy(allow_private=True).parse(url)


def test_a_resolver_that_fails_or_hangs() -> None:
    def fail(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    released = threading.Event()

    def hang(host: str, port: int) -> Sequence[str]:
        released.wait()
        return ["8.8.8.8"]

    with pytest.raises(NameNotResolvedError, match="cannot be resolved"):
        TargetPolicy(resolve=fail).addresses_of("gone.example.com", 443, within_s=5)
    with pytest.raises(NameNotResolvedError, match="no address"):
        TargetPolicy(resolve=lambda *_: []).addresses_of("gone.example.com", 443, within_s=5)
    with pytest.raises(NameNotResolvedError, match="in time"):
        TargetPolicy(resolve=hang).addresses_of("slow.example.com", 443, within_s=0.05)
    released.set()


def test_the_systems_own_resolver_is_asked() -> None:
    with pytest.raises(TargetRefusedError):
        TargetPolicy().addresses_of("localhost", 443, within_s=5)
