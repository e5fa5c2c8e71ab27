"""Connections from addresses that blocklists know, with a real DNS server behind the door."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from sqlalchemy import select

from tests.smtpd.submission.conftest import MakeServer
from tests.smtpd.submission.wire import RunningServer, until, write_certificate
from tests.support.dns_server import DnsServer
from webapp import gateway_of
from webapp.core.models import BlocklistHit, BlocklistZone, Refusal
from webapp.core.rules.blocklists import Rules, Zone, parse_answers, query_name
from webapp.core.rules.networks import parse_networks
from webapp.core.services import blocklist_zones
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway

LISTED, UNLISTED = "127.0.0.77", "127.0.0.78"


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer() as server:
        listing(server, LISTED)
        yield server


def listing(dns: DnsServer, ip: str, *answers: str, zone: str = "bl.test") -> None:
    dns.records[query_name(ip, zone), "A"] = list(answers or ["127.0.0.4"])


def rules(state: str = "on", **kwargs: str) -> Rules:
    zone = Zone(1, "bl.test", state, ignored=parse_answers(kwargs.get("ignored", "")))
    return Rules((zone,), parse_networks(kwargs.get("exempt", "")))


def greeting(server: RunningServer, source: str = LISTED, *, tls: bool = False) -> str:
    with server.connect(tls=tls, source=source) as wire:
        return wire.reply()


def test_a_listed_address_is_refused_with_the_zones_words(make_server: MakeServer, dns: DnsServer) -> None:
    server, gateway = make_server(dns=dns.address)
    gateway.rules = rules()
    dns.txt[query_name(LISTED, "bl.test")] = ["Exploited, see https://bl.test/?ip=127.0.0.77"]
    for tls in (False, True):
        with server.connect(tls=tls, source=LISTED) as wire:
            reply = wire.reply()
            assert re.fullmatch(
                r"554 5\.7\.1 Your address 127\.0\.0\.77 is on the blocklist bl\.test: "
                r"Exploited, see https://bl\.test/\?ip=127\.0\.0\.77 \[ref [A-Z2-9]{10}\]",
                reply,
            )
            later = wire.command("EHLO client.test")
            assert later.startswith("503 5.5.1")
            assert later[-16:] == reply[-16:]  # the same reference, which explains it
            assert wire.command("QUIT").startswith("221 2.0.0")
            assert wire.closed()
    assert len(gateway.refusals) == 2  # what is said after the refusal is noted no more
    refused = gateway.refusals[0][0]
    assert refused.trace == {
        "zone": "bl.test",
        "answer": "127.0.0.4",
        "txt": "Exploited, see https://bl.test/?ip=127.0.0.77",
    }
    assert [ip for ip, _, _ in gateway.listed] == [LISTED, LISTED]
    assert greeting(server, UNLISTED).startswith("220 ")


@pytest.mark.parametrize("answer", ["127.255.255.254", "203.0.113.9", "127.0.0.10"])
def test_answers_that_do_not_count_refuse_nobody(make_server: MakeServer, dns: DnsServer, answer: str) -> None:
    server, gateway = make_server(dns=dns.address)
    gateway.rules = rules(ignored="127.0.0.10")
    listing(dns, LISTED, answer)
    assert greeting(server).startswith("220 ")


def test_a_zone_that_fails_lets_in(make_server: MakeServer, dns: DnsServer) -> None:
    server, gateway = make_server(dns=dns.address)
    gateway.rules = rules()
    dns.failing.add("*.bl.test")
    assert greeting(server).startswith("220 ")


def test_with_the_zone_silent_the_banner_comes_in_time(make_server: MakeServer, dns: DnsServer) -> None:
    server, gateway = make_server(dns=dns.address)
    gateway.rules = rules()
    dns.silent.add("*.bl.test")
    began = time.monotonic()
    with server.connect(source=LISTED) as first, server.greeted(source=UNLISTED) as second:
        assert first.reply().startswith("220 ")
        took = time.monotonic() - began
        assert second.command("NOOP").startswith("250 ")
    assert took < 3.5


def test_observing_and_exemption_let_in(make_server: MakeServer, dns: DnsServer) -> None:
    server, gateway = make_server(dns=dns.address)
    gateway.rules = rules("observe")
    assert greeting(server).startswith("220 ")
    assert gateway.listed == [(LISTED, ["bl.test"], None)]
    gateway.rules = rules(exempt="127.0.0.64/28")
    assert greeting(server).startswith("220 ")
    gateway.rules = rules()
    assert greeting(server).startswith("554 5.7.1")


def test_the_address_that_a_proxy_tells_is_looked_up(make_server: MakeServer, dns: DnsServer) -> None:
    server, gateway = make_server(dns=dns.address, smtp_proxy_protocol=True, trusted_proxies="127.0.0.0/8")
    gateway.rules = rules()
    listing(dns, "2001:db8::25")
    for source, said in (("2001:db8::25", "554 5.7.1"), ("2001:db8::26", "220 ")):
        with server.connect(source=LISTED) as wire:
            wire.send(f"PROXY TCP6 {source} 2001:db8::1 999 25\r\n")
            assert wire.reply().startswith(said)


def test_refused_connections_are_few_and_short(make_server: MakeServer, dns: DnsServer) -> None:
    server, gateway = make_server({"turned_away": 2, "parting": 0.3}, dns=dns.address)
    gateway.rules = rules()
    first, second = server.connect(source=LISTED), server.connect(source=LISTED)
    with first, second:
        assert first.reply().startswith("554 5.7.1")
        assert second.reply().startswith("554 5.7.1")
        with server.connect(source=LISTED) as third:
            assert third.reply().startswith("554 5.7.1")
            assert third.closed()
        assert first.reply().startswith("421 4.4.2")
        assert first.closed()
    until(lambda: server.environment.turned_away == 0)


def test_whoever_goes_on_talking_is_cut(make_server: MakeServer, dns: DnsServer) -> None:
    server, gateway = make_server({"parting_errors": 2}, dns=dns.address)
    gateway.rules = rules()
    with server.connect(source=LISTED) as wire:
        wire.reply()
        wire.send("EHLO a.test\r\n" * 3)
        assert [wire.reply()[:3] for _ in range(3)] == ["503", "421", ""]


@pytest.fixture
def service(make_app: Callable[..., Flask], dns: DnsServer) -> Iterator[tuple[RunningServer, Gateway]]:
    """The door in front of the real services, with a start value."""
    gateway = gateway_of(make_app(dns=dns.address, rbl_zones="bl.test"))
    write_certificate(*gateway.settings.tls_files)
    server = RunningServer(gateway, grace=1.0)
    yield server, gateway
    server.stop()


def test_what_the_list_says_holds_without_a_restart(
    service: tuple[RunningServer, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("blocklists", "preferences"):
        monkeypatch.setattr(f"webapp.core.services.{module}.FRESH_SECONDS", 0.1)
    server, gateway = service
    reply = greeting(server)
    assert reply.startswith("554 5.7.1")
    with gateway.database.session() as session:
        blocklist_zones.change(session, COMMAND_LINE, session.scalars(select(BlocklistZone)).one(), state="observe")
    until(lambda: greeting(server).startswith("220 "))
    with gateway.database.session() as session:
        blocklist_zones.change(session, COMMAND_LINE, session.scalars(select(BlocklistZone)).one(), state="on")
    until(lambda: greeting(server).startswith("554 5.7.1"))
    with gateway.database.session() as session:
        assert blocklist_zones.exempt(session, COMMAND_LINE, gateway.preferences, LISTED)
    until(lambda: greeting(server).startswith("220 "))
    gateway.ledger.submit(lambda session: None).result(10)
    reference = reply[-11:-1]
    with gateway.database.session() as session:
        refusal = session.get(Refusal, reference)
        assert refusal
        assert (refusal.code, refusal.ip) == ("blocklisted", LISTED)
        assert refusal.trace == {"zone": "bl.test", "answer": "127.0.0.4"}
        hits = session.scalars(select(BlocklistHit).order_by(BlocklistHit.refused)).all()
        assert [(hit.refused, hit.ip, hit.answers) for hit in hits] == [
            (False, LISTED, ["127.0.0.4"]),
            (True, LISTED, ["127.0.0.4"]),
        ]
        assert all(hit.count >= 1 for hit in hits)
