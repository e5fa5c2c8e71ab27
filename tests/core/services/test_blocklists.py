"""The list of blocklists: start value, changes, self-tests and counts, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from tests.support.dns_server import DnsServer
from webapp import gateway_of
from webapp.blocklist_job import blocklists_job
from webapp.core.models import AuditEntry, BlocklistHit, BlocklistZone, utcnow
from webapp.core.rules.blocklists import Finding, Health, Outcome, query_name
from webapp.core.services import blocklist_zones
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.errors import ServiceError
from webapp.core.services.gateway import Gateway
from webapp.core.services.housekeeping import LOGS_KEPT, purge


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer() as server:
        yield server


def add(gateway: Gateway, zone: str = "bl.test", **kwargs: str) -> int:
    with gateway.database.session() as session:
        return blocklist_zones.add(session, COMMAND_LINE, zone=zone, **kwargs).id


def row(gateway: Gateway) -> BlocklistZone:
    with gateway.database.session() as session:
        return session.scalars(select(BlocklistZone)).one()


def names(gateway: Gateway) -> list[str]:
    with gateway.database.session() as session:
        return [zone.name for zone in gateway.blocklists.read(session).zones]


def test_the_start_value_fills_the_list_once(make_app: Callable[..., Flask]) -> None:
    gateways = [gateway_of(make_app(rbl_zones="XBL.spamhaus.org., zen.spamhaus.org")) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:  # as processes do that start together
        found = list(threads.map(lambda gateway: gateway.blocklists.rules(), gateways))
    for rules in found:
        assert [zone.name for zone in rules.zones] == ["xbl.spamhaus.org", "zen.spamhaus.org"]
    assert [str(network) for network in found[0].zones[1].ignored] == ["127.0.0.10/32", "127.0.0.11/32"]
    with gateways[0].database.session() as session:
        for zone in session.scalars(select(BlocklistZone)):
            blocklist_zones.delete(session, COMMAND_LINE, zone)
    assert names(gateways[1]) == []  # what its owner empties stays empty


def test_a_list_that_was_touched_is_not_filled(gateway: Gateway, make_app: Callable[..., Flask]) -> None:
    add(gateway)
    assert names(gateway_of(make_app(rbl_zones="other.test"))) == ["bl.test"]


def test_changes_are_checked_and_audited(gateway: Gateway) -> None:
    add(gateway, "BL.test", counted="127.0.0.2-127.0.0.3", ignored="127.0.0.3")
    with gateway.database.session() as session:
        zone = session.scalars(select(BlocklistZone)).one()
        assert (zone.counted, zone.ignored) == (["127.0.0.2/31"], ["127.0.0.3"])
        blocklist_zones.change(session, COMMAND_LINE, zone, state="observe", counted="")
        blocklist_zones.change(session, COMMAND_LINE, zone, state="observe")  # nothing new
    for wrong in ({"zone": "bl.test."}, {"zone": "no"}, {"state": "maybe"}, {"counted": "10.0.0.1"}, {"ignored": "x"}):
        with pytest.raises(ServiceError) as caught:
            add(gateway, **({"zone": "new.test"} | wrong))
        assert caught.value.field == next(iter(wrong))
    with gateway.database.session() as session:
        blocklist_zones.delete(session, COMMAND_LINE, session.scalars(select(BlocklistZone)).one())
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(entry.action, entry.label) for entry in entries] == [
        ("create", "bl.test"),
        ("change", "bl.test"),
        ("delete", "bl.test"),
    ]
    assert entries[1].changes == {"state": ["on", "observe"], "counted": [["127.0.0.2/31"], []]}


def test_a_paying_users_key_stays_out_of_the_audit_log(gateway: Gateway) -> None:
    add(gateway, "abcdefghijklmnopqrstuvwxyz.zen.dq.spamhaus.net")
    with gateway.database.session() as session:
        assert session.scalars(select(AuditEntry.label)).one() == "zen.dq.spamhaus.net"


def test_exempting_an_address(gateway: Gateway) -> None:
    for ip, new in (("192.0.2.7", True), ("192.0.2.7", False), ("2001:db8::1", True), ("::ffff:192.0.2.7", False)):
        with gateway.database.session() as session:
            assert blocklist_zones.exempt(session, COMMAND_LINE, gateway.preferences, ip) is new
    with gateway.database.session() as session:
        assert [str(network) for network in gateway.blocklists.read(session).exempt] == [
            "192.0.2.7/32",
            "2001:db8::1/128",
        ]
        with pytest.raises(ServiceError):
            blocklist_zones.exempt(session, COMMAND_LINE, gateway.preferences, "nonsense")


def run_job(gateway: Gateway) -> None:
    async def run() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(blocklists_job(gateway).run(stop))
        while row(gateway).tested_at is None:
            await asyncio.sleep(0.02)
        stop.set()
        await task

    with gateway.database.session() as session:
        zone = session.scalars(select(BlocklistZone)).one_or_none()
        if zone:
            zone.tested_at = None
    asyncio.run(run())


def test_only_a_wrong_answer_makes_a_zone_observe(make_app: Callable[..., Flask], dns: DnsServer) -> None:
    gateway = gateway_of(make_app(dns=dns.address))
    add(gateway)
    run_job(gateway)
    zone = row(gateway)
    assert (zone.health, zone.state, zone.in_force) == ("wrong", "on", "observe")
    assert zone.failing_since
    assert zone.demoted_at
    with gateway.database.session() as session:
        assert [one.state for one in gateway.blocklists.read(session).zones] == ["observe"]
    dns.failing.add("*.bl.test")
    run_job(gateway)
    assert (row(gateway).health, row(gateway).in_force) == ("failed", "observe")  # changes nothing
    dns.failing.clear()
    dns.records[query_name("127.0.0.2", "bl.test"), "A"] = ["127.0.0.2"]
    run_job(gateway)
    assert (row(gateway).health, row(gateway).in_force, row(gateway).failing_since) == ("good", "on", None)
    dns.records[query_name("127.0.0.2", "bl.test"), "A"] = ["127.255.255.254"]
    run_job(gateway)
    assert (row(gateway).health, row(gateway).in_force) == ("refused", "on")
    assert row(gateway).failing_since


def test_tests_are_due_every_half_hour(gateway: Gateway) -> None:
    id_, now = add(gateway), utcnow()
    add(gateway, "off.test", state="off")
    with gateway.database.session() as session:
        assert [zone.id for zone in blocklist_zones.due(session, now)] == [id_]
        blocklist_zones.record_test(session, id_, Health.SILENT, "")
        assert not blocklist_zones.due(session, now + timedelta(minutes=29))
        assert len(blocklist_zones.due(session, now + timedelta(minutes=31))) == 1


def test_hits_are_counted_by_the_day_and_pruned(gateway: Gateway) -> None:
    id_ = add(gateway)
    add(gateway, "quiet.test", state="observe")
    with gateway.database.session() as session:
        on, observing = gateway.blocklists.read(session).zones
    refusing = Finding(on, Outcome.LISTED, ("127.0.0.4",), "spam")
    for n in range(5):
        gateway.blocklists.note("192.0.2.7", [refusing, Finding(observing, Outcome.NOT_LISTED)], refusing, f"R{n}")
    gateway.blocklists.note("192.0.2.8", [Finding(observing, Outcome.LISTED, ("127.0.0.2",))], None, None)
    gateway.ledger.submit(lambda session: None).result(10)
    with gateway.database.session() as session:
        found = blocklist_zones.counts(session, utcnow())
        assert (found[id_], found[id_ + 1]) == ((5, 0), (0, 1))
        hits = [hit for hit, _ in blocklist_zones.latest_hits(session)]
        assert [(hit.ip, hit.count, hit.reference) for hit in hits] == [("192.0.2.8", 1, None), ("192.0.2.7", 5, "R4")]
        assert purge(session, utcnow() + LOGS_KEPT) == 2
        assert session.scalars(select(BlocklistHit)).all() == []
