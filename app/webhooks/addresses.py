"""Which addresses a webhook may be sent to: those that anybody on the internet could reach as well.

``ipaddress.is_global`` alone is not enough: it lets multicast pass, and addresses that carry an IPv4 address inside
(NAT64, 6to4), which a gateway may unpack into one of the network's own.
"""

from __future__ import annotations

import ipaddress

GLOBAL_UNICAST_IPV6 = ipaddress.IPv6Network("2000::/3")
# Each is global by the registry, or was to some version of `ipaddress`.
REFUSED_IPV4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "168.63.129.16/32",  # Azure's virtual host: metadata and keys for every virtual machine
        "192.0.0.0/24",  # IETF protocol assignments; Oracle's metadata service is among them
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunnelling
        "192.88.99.0/24",  # 6to4 relays
        "192.175.48.0/24",  # AS112
    )
)
REFUSED_IPV6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments: Teredo, ORCHID, benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)


def is_public(address: str) -> bool:
    """Whether ``address``, as a resolver gives it, is a unicast address of the public internet."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if not parsed.is_global or parsed.is_multicast:
        return False
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in network for network in REFUSED_IPV4)
    if parsed.scope_id is not None or parsed not in GLOBAL_UNICAST_IPV6:
        return False
    return not any(parsed in network for network in REFUSED_IPV6)
