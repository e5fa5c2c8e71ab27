"""Where a domain's mail goes: its mail exchangers (RFC 5321 section 5.1), and their addresses."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import groupby

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

from webapp.core.rules.networks import Address
from webapp.net.resolver import LIFETIME, LookupFailed
from webapp.settings import Bind

#: Exchangers of one domain that are asked at most.
MOST_HOSTS = 8
#: Answers that are remembered, each as long as the DNS says.
_REMEMBERED = 5_000
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\Z")


class NoExchangerError(Exception):
    """The DNS says that the domain takes no mail. `code` and the text's enhanced code are as RFC 7505 and 3463 say."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Exchanger:
    """One MX record; the lowest preference is asked first."""

    preference: int
    host: str


class MailDns:
    """Looks exchangers up with the resolver at *server*, or the system's, and remembers the answers.

    No name is ever completed from a search list. *own_name* is this server's: mail for a domain that names it as its
    exchanger would only come back.
    """

    def __init__(self, server: Bind | None, *, own_name: str) -> None:
        self._server = server
        self._own_name = own_name.lower()
        self._cache = dns.resolver.LRUCache(_REMEMBERED)

    async def exchangers(self, domain: str) -> tuple[Exchanger, ...]:
        """The exchangers of *domain*, sorted. Raise `NoExchangerError`, or `LookupFailed` when nothing is known now."""
        try:
            answer = await self._ask(domain, dns.rdatatype.MX)
        except dns.resolver.NXDOMAIN:
            raise NoExchangerError(550, f"5.1.2 There is no domain {domain}.") from None
        except dns.resolver.NoAnswer:
            return self._without_ourselves(domain, [Exchanger(0, domain)])  # the implicit MX
        found = [Exchanger(record.preference, record.exchange.to_text(omit_final_dot=True)) for record in answer]
        real = [one for one in found if _HOST_NAME.match(one.host)]
        if not real:
            if all(one.host == "." for one in found):
                raise NoExchangerError(556, f"5.1.10 {domain} takes no mail: it has a null MX.")
            raise NoExchangerError(550, f"5.4.4 The mail servers of {domain} have no usable names.")
        return self._without_ourselves(domain, real)

    async def addresses(self, host: str) -> list[Address]:
        """The addresses of *host*, each family shuffled, IPv4 first; empty when there are none. Raise `LookupFailed`.

        IPv4 goes first because a server's name and reputation are mostly set up for that.
        """
        kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
        answers = await asyncio.gather(*(self._addresses(host, kind) for kind in kinds), return_exceptions=True)
        found: list[Address] = []
        for answer in answers:
            if isinstance(answer, list):
                found += random.sample(answer, len(answer))
        for answer in answers:
            if isinstance(answer, BaseException) and not (found and isinstance(answer, LookupFailed)):
                raise answer
        return found

    def _without_ourselves(self, domain: str, found: list[Exchanger]) -> tuple[Exchanger, ...]:
        """Only those that are preferred to this server, if it is among them (RFC 5321 section 5.1)."""
        ours = min((one.preference for one in found if one.host.lower() == self._own_name), default=None)
        if ours is not None:
            found = [one for one in found if one.preference < ours]
        if not found:
            raise NoExchangerError(550, f"5.4.6 Mail for {domain} loops back: its MX record names this server.")
        unique = {(one.preference, one.host.lower()): one for one in found}
        return tuple(unique[key] for key in sorted(unique))

    async def _addresses(self, host: str, kind: dns.rdatatype.RdataType) -> list[Address]:
        try:
            return [ip_address(record.address) for record in await self._ask(host, kind)]
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> dns.resolver.Answer:
        """Raise `NXDOMAIN`, `NoAnswer` or `LookupFailed`."""
        try:
            resolver = dns.asyncresolver.Resolver(configure=self._server is None)
            if self._server is not None:
                resolver.nameservers, resolver.port = [self._server.host], self._server.port
            resolver.cache = self._cache
            return await resolver.resolve(dns.name.from_text(name), kind, lifetime=LIFETIME, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            raise
        except (dns.exception.DNSException, OSError) as error:
            raise LookupFailed(f"{name}: {type(error).__name__}") from None


def in_order(exchangers: tuple[Exchanger, ...]) -> list[str]:
    """Host names by preference, shuffled where that is the same."""
    hosts: list[str] = []
    for _, equals in groupby(exchangers, key=lambda one: one.preference):
        alike = [one.host for one in equals]
        hosts += random.sample(alike, len(alike))
    return list(dict.fromkeys(hosts))[:MOST_HOSTS]
