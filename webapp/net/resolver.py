"""Look-ups in the DNS, through the resolver that the settings name."""

from __future__ import annotations

import dns.exception
import dns.resolver
import dns.reversename

from webapp.settings import Bind

#: A look-up is given up after so long, in seconds.
LIFETIME = 5.0


class LookupFailed(Exception):  # noqa: N818 - a finding
    """The DNS gave no answer: a time-out, SERVFAIL, no resolver. Nothing is known of the name."""


def resolver(server: Bind | None) -> dns.resolver.Resolver:
    """The system's resolver, or the one at *server*. Raise `LookupFailed` when the machine has none."""
    try:
        found = dns.resolver.Resolver(configure=server is None)
    except dns.exception.DNSException as error:
        raise LookupFailed(str(error)) from None
    if server is not None:
        found.nameservers, found.port = [server.host], server.port
    found.lifetime = LIFETIME
    return found


def txt(name: str, server: Bind | None) -> list[str]:
    """The TXT records of *name*, each with its strings joined (RFC 7208 section 3.3); empty when there are none.

    Raise `LookupFailed`.
    """
    try:
        answer = resolver(server).resolve(name, "TXT")
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        raise LookupFailed(f"{name}: {error}") from None
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]


def reverse_name(ip: str, server: Bind | None) -> str | None:
    """What the DNS calls *ip* (PTR, RFC 1035 section 3.5), without the last dot; None when it has no name.

    Raise `LookupFailed`.
    """
    try:
        answer = resolver(server).resolve(dns.reversename.from_address(ip), "PTR")
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return None
    except (dns.exception.DNSException, ValueError) as error:
        raise LookupFailed(f"{ip}: {error}") from None
    return str(answer[0].target).rstrip(".") or None
