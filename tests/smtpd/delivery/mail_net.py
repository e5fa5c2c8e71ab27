"""A small internet on loopback: mail servers with addresses of their own on one port, and the DNS that names them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask

from tests.support.dns_server import DnsServer
from tests.support.smtp_sink import SmtpSink
from webapp import gateway_of
from webapp.core.services.gateway import Gateway


class MailNet:
    """`serve` starts a server and names it in the DNS; `gateway` makes services that deliver into this net."""

    def __init__(self, dns: DnsServer, stack: ExitStack, make_app: Callable[..., Flask]) -> None:
        self.dns = dns
        self.sinks: dict[str, SmtpSink] = {}
        self.port = 0
        self._stack = stack
        self._make_app = make_app

    def serve(self, host: str, **options: Any) -> SmtpSink:
        """A server called *host*, at 127.0.0.1 and up."""
        address = f"127.0.0.{len(self.sinks) + 1}"
        sink = self._stack.enter_context(SmtpSink(host=address, port=self.port, **options))
        self.port = sink.port
        self.sinks[host] = sink
        self.dns.records[host, "A"] = [address]
        return sink

    def domain(self, name: str, *exchangers: str) -> None:
        """A domain with MX records, each ``10 mx.example.org``."""
        self.dns.records[name, "MX"] = [f"{one}." for one in exchangers]

    @property
    def settings(self) -> dict[str, Any]:
        """What makes services deliver directly into this net."""
        return {
            "delivery": "mx",
            "dns": self.dns.address,
            "mx_port": self.port or 1,
            "allow_private_mx": True,
            "retry_first": "1s",
        }

    def gateway(self, **settings: Any) -> Gateway:
        """Services that deliver directly; keyword arguments are settings."""
        return gateway_of(self._make_app(**(self.settings | settings)))


@pytest.fixture
def net(make_app: Callable[..., Flask]) -> Iterator[MailNet]:
    with ExitStack() as stack:
        yield MailNet(stack.enter_context(DnsServer()), stack, make_app)
