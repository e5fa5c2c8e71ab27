"""SPF records (RFC 7208), read well enough to say whether a server may send for a domain, and what to change.

Names are resolved by the caller's `Lookup`; whatever that raises goes through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from webapp.core.rules.networks import Network

#: The texts of a name's records of one type: TXT, A, AAAA, or MX (host names).
Lookup = Callable[[str, str], list[str]]
#: Terms that ask the DNS, all includes together (section 4.6.4); beyond it receivers answer permerror.
MOST_LOOKUPS = 10

_TERM = re.compile(r"([+?~-]?)([a-z0-9]+)(?:[:=]([^/\s][^\s]*?))?((?:/\d{1,3})?(?://\d{1,3})?)\Z", re.IGNORECASE)
_ASKING = {"include", "a", "mx", "ptr", "exists", "redirect"}
_KNOWN = _ASKING | {"all", "ip4", "ip6", "exp"}


@dataclass(slots=True)
class Authorised:
    """Whom a record lets send. `problems` are sentences about what makes it invalid."""

    networks: list[Network] = field(default_factory=list)
    names: set[str] = field(default_factory=set)  # of its own ``a:`` terms
    lookups: int = 0
    problems: list[str] = field(default_factory=list)

    def covers(self, name: str, addresses: Sequence[IPv4Address | IPv6Address]) -> bool:
        """Whether the server called *name*, with *addresses*, may send."""
        if name in self.names:
            return True
        return bool(addresses) and all(any(one in network for network in self.networks) for one in addresses)


def is_spf(text: str) -> bool:
    """Whether a TXT record is an SPF record (section 4.5)."""
    return text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")


def read(record: str, domain: str, lookup: Lookup) -> Authorised:
    """Follow *record* of *domain* through its includes."""
    walk = _Walk(lookup)
    walk.follow(record, domain, (domain,))
    found = walk.found
    if found.lookups > MOST_LOOKUPS:
        found.problems.append(
            f"It needs {found.lookups} DNS look-ups, and receivers stop after {MOST_LOOKUPS}: take out includes."
        )
    return found


def with_mechanism(record: str | None, mechanism: str) -> str:
    """*record* with *mechanism* added where it counts: before ``all`` or ``redirect``."""
    if record is None:
        return f"v=spf1 {mechanism} ~all"
    terms = record.split()
    ends = [i for i, term in enumerate(terms) if re.fullmatch(r"[+?~-]?all|redirect=.*", term, re.IGNORECASE)]
    at = ends[0] if ends else len(terms)
    return " ".join([*terms[:at], mechanism, *terms[at:]])


class _Walk:
    """One record with all that it includes."""

    def __init__(self, lookup: Lookup) -> None:
        self.found = Authorised()
        self._lookup = lookup

    def follow(self, record: str, domain: str, path: tuple[str, ...]) -> None:
        """Add what *record* of *domain* says; *path* are the domains that led here."""
        found = self.found
        for text in record.split()[1:]:
            match = _TERM.match(text)
            name = match[2].lower() if match else ""
            if match is None or (name not in _KNOWN and "=" not in text):
                found.problems.append(f"It has a part that no receiver understands: {text[:100]}")
                continue
            found.lookups += name in _ASKING
            if match[1] not in {"", "+"} or found.lookups > 2 * MOST_LOOKUPS:
                continue
            value = (match[3] or domain).lower().rstrip(".")
            if name in {"include", "redirect"}:
                self._include(value, path)
            elif name == "all":
                found.problems.append("It lets every server in the world send (+all): end it with ~all.")
            elif "%" not in value:  # a macro (section 7) is known only when a mail comes
                self._add(name, value, match[4], own=len(path) == 1)

    def _include(self, domain: str, path: tuple[str, ...]) -> None:
        if domain in path or "%" in domain:
            return
        records = [text for text in self._lookup(domain, "TXT") if is_spf(text)]
        if len(records) == 1:
            self.follow(records[0], domain, (*path, domain))
        else:
            what = "more than one SPF record" if records else "no SPF record"
            self.found.problems.append(f"It refers to {domain}, which has {what}.")

    def _add(self, name: str, value: str, length: str, *, own: bool) -> None:
        match name:
            case "ip4" | "ip6":
                try:
                    self.found.networks.append(ip_network(value + length, strict=False))
                except ValueError:
                    self.found.problems.append(f"{name}:{value}{length} is no address or range.")
            case "a":
                if own and not length:
                    self.found.names.add(value)
                self.found.networks += _hosts([value], length, self._lookup)
            case "mx":
                self.found.networks += _hosts(self._lookup(value, "MX")[:10], length, self._lookup)


def _hosts(names: Iterable[str], length: str, lookup: Lookup) -> list[Network]:
    four, _, six = length.partition("//")
    networks: list[Network] = []
    for name in names:
        for address in [*lookup(name, "A"), *lookup(name, "AAAA")]:
            bits = (four or "/32") if ip_address(address).version == 4 else f"/{six or 128}"
            try:
                networks.append(ip_network(address + bits, strict=False))
            except ValueError:
                continue
    return networks
