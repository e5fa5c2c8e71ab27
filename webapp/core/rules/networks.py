"""Addresses and ranges of addresses, as admins type them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
    summarize_address_range,
)

from webapp.core.rules.refusals import printable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
MOST_ENTRIES = 500
_SEPARATORS = re.compile(r"[,;\s]+")
_RANGE = re.compile(r"\s*[-\u2013]\s*")  # word processors make a dash of a hyphen
_MAPPED = IPv6Network("::ffff:0:0/96")


class NetworkError(ValueError):
    """An entry of a list can't be read. *line* counts from 1."""

    def __init__(self, line: int, text: str, problem: str) -> None:
        self.line, self.text, self.problem = line, text, problem
        super().__init__(f"Line {line}: {text} {problem}.")


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read addresses, CIDR ranges and ``first-last`` ranges, one a line or with commas between; ``#`` starts a remark.

    Host bits are dropped (``10.0.0.5/24`` is ``10.0.0.0/24``), ``::ffff:`` is unmapped, doubles are left out.
    Raise `NetworkError` naming the line.
    """
    found: dict[Network, None] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        for entry in _SEPARATORS.split(_RANGE.sub("-", line.partition("#")[0]).strip()):
            for network in _entry(number, entry) if entry else ():
                found[network] = None
                if len(found) > MOST_ENTRIES:
                    raise NetworkError(number, printable(entry, 60), f"is one too many: at most {MOST_ENTRIES} entries")
    return tuple(found)


def normalise_ip(text: str) -> Address:
    """Read one address; a zone is dropped and ``::ffff:`` unmapped. Raise `ValueError`."""
    address = ip_address(text.strip().partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def allowed(ip: str, networks: Iterable[str | Network]) -> bool:
    """Whether *ip* is in one of *networks*; an empty list allows everything."""
    listed = [ip_network(n) if isinstance(n, str) else n for n in networks]
    if not listed:
        return True
    try:
        address = normalise_ip(ip)
    except ValueError:
        return False
    return any(address.version == network.version and address in network for network in listed)


def lock_subject(ip: str) -> str:
    """What is locked for *ip*: the address, or for IPv6 its /64, which one machine has to itself."""
    address = normalise_ip(ip)
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def network_of(ip: str) -> Network:
    """The network that *ip* counts to when people ask "from where": its /24, for IPv6 its /48."""
    address = normalise_ip(ip)
    return ip_network((address, 24 if address.version == 4 else 48), strict=False)


def is_everything(network: Network) -> bool:
    """Whether *network* is ``0.0.0.0/0`` or ``::/0``: a lock that locks nobody out."""
    return network.prefixlen == 0


def _entry(line: int, entry: str) -> Iterator[Network]:
    try:
        if "/" in entry:
            yield _unmapped(ip_network(entry, strict=False))
        elif entry.count("-") == 1:
            first, last = (normalise_ip(part) for part in entry.split("-"))
            yield from summarize_address_range(first, last)
        else:
            yield ip_network(normalise_ip(entry))
    except (ValueError, TypeError):
        raise NetworkError(line, printable(entry, 60), "is not an IP address or range") from None


def _unmapped(network: Network) -> Network:
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((network.network_address.packed[-4:], network.prefixlen - 96))
    return network
