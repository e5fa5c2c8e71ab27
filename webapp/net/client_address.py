"""The client's address, read one way at every door.

It is the TCP peer, unless that peer is a trusted proxy: then the right-most hop of ``X-Forwarded-For`` that is not
itself a trusted proxy. What comes from anyone else in that header is ignored, as is every other such header.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from webapp.core.rules.networks import Network, allowed, normalise_ip

_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9]{1,3}(?:\.[0-9]{1,3}){3}):[0-9]{1,5}")


def client_address(peer: str, forwarded_for: str | None, trusted: Sequence[Network]) -> str:
    """The client's address, ``::ffff:`` unmapped. *forwarded_for* is the whole header, several joined by commas.

    A hop that is no address ends the search: the proxy that wrote it is then the last one known.
    """
    address = _normal(peer)
    if address is None:
        return peer
    if not trusted or not forwarded_for:
        return address
    for hop in reversed(forwarded_for.split(",")):
        if not allowed(address, trusted):
            break
        before = _normal(_without_port(hop.strip()))
        if before is None:
            break
        address = before
    return address


def _without_port(hop: str) -> str:
    """Some proxies write the client's port, too: ``192.0.2.1:4711``, ``[2001:db8::1]:4711``."""
    match = _WITH_PORT.fullmatch(hop)
    return (match[1] or match[2]) if match else hop


def _normal(text: str) -> str | None:
    try:
        return str(normalise_ip(text))
    except ValueError:
        return None
