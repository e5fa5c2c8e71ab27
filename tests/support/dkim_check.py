"""DKIM as a receiver checks it: by dkimpy, with keys from a real DNS server."""

from __future__ import annotations

from typing import Any

import dkim
import dns.resolver

from tests.support.dns_server import DnsServer
from webapp.core.models import DkimKey
from webapp.core.services import dkim as keys
from webapp.core.services import domains
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway


def make_keys(gateway: Gateway, dns_server: DnsServer, *algorithms: str, domain: str = "example.com") -> None:
    """Give *domain* keys, publish them, and let them sign."""
    with gateway.database.session() as session:
        row = domains.find(session, domain)
        for algorithm in algorithms:
            key = keys.add(session, gateway.vault, COMMAND_LINE, row, algorithm)
            publish(dns_server, key, domain)
            keys.activate(session, COMMAND_LINE, row, key)


def publish(dns_server: DnsServer, key: DkimKey, domain: str = "example.com") -> None:
    """Put the record of *key* into the DNS."""
    name, value = keys.record(key, domain)
    dns_server.txt[name] = [value]


def signatures(content: bytes, dns_server: DnsServer) -> list[str]:
    """The algorithm of each of our signatures in *content*, in order; each must hold."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], dns_server.port

    def txt(name: bytes, **_: Any) -> bytes:
        return b"".join(resolver.resolve(name.decode(), "TXT")[0].strings)

    checker = dkim.DKIM(content)
    found = [value for name, value in checker.headers if name.lower() == b"dkim-signature"]
    for index in range(len(found)):
        assert checker.verify(index, dnsfunc=txt), found[index]
    return [value.partition(b"a=")[2].partition(b"-")[0].decode() for value in found]
