"""Look-ups in the DNS that an event loop can wait for: the sibling of `webapp.net.resolver`."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address
from typing import NamedTuple

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver
import dns.ttl

from webapp.net.resolver import LookupFailed
from webapp.settings import Bind

#: A question that may have got lost is asked again after so long, in seconds.
_RETRY = 1.0


class Silent(LookupFailed):
    """Nothing came back in time. Its base stands for SERVFAIL and the like."""


class Found(NamedTuple):
    """Records as text; none if the name or its records don't exist. They hold for `ttl` seconds (RFC 2308 if none)."""

    records: tuple[str, ...]
    ttl: int


class AsyncResolver:
    """The system's resolver, or the one at *server*."""

    def __init__(self, server: Bind | None) -> None:
        self._server = server
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def addresses(self, name: str, lifetime: float) -> Found:
        """The IPv4 addresses of *name*, in order. Raise `LookupFailed`, `Silent` after *lifetime* seconds."""
        answer, ttl = await self._ask(name, dns.rdatatype.A, lifetime)
        return Found(tuple(map(str, sorted(IPv4Address(record.to_text()) for record in answer or ()))), ttl)

    async def texts(self, name: str, lifetime: float) -> Found:
        """The TXT records of *name*, each with its strings joined. Raise as `addresses` does."""
        answer, ttl = await self._ask(name, dns.rdatatype.TXT, lifetime)
        return Found(tuple(b"".join(record.strings).decode("utf-8", "replace") for record in answer or ()), ttl)

    async def _ask(
        self, name: str, kind: dns.rdatatype.RdataType, lifetime: float
    ) -> tuple[dns.resolver.Answer | None, int]:
        question = dns.name.from_text(f"{name}.")
        try:
            # Its own time limit forgets the pauses between its tries.
            async with asyncio.timeout(lifetime):
                answer = await self._configured().resolve(question, kind, lifetime=lifetime, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN as error:
            response: dns.message.QueryMessage = error.response(question)  # type: ignore[no-untyped-call]
            return None, _ttl(response.resolve_chaining().minimum_ttl)
        except (TimeoutError, dns.resolver.LifetimeTimeout):
            raise Silent(f"{name}: no answer within {lifetime:.1f} s") from None
        except dns.exception.DNSException as error:
            raise LookupFailed(f"{name}: {error}") from None
        return answer if answer.rrset is not None else None, _ttl(answer.chaining_result.minimum_ttl)

    def _configured(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            made = dns.asyncresolver.Resolver(configure=self._server is None)
            if self._server is not None:
                made.nameservers, made.port = [self._server.host], self._server.port
            made.timeout = _RETRY
            self._resolver = made
        return self._resolver


def _ttl(seconds: int) -> int:
    # Without records and without SOA nobody said how long it holds.
    return 0 if seconds >= dns.ttl.MAX_TTL else seconds
