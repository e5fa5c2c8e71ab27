"""Look-ups in blocklists, of a real DNS server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.dns_server import DnsServer
from webapp.core.rules.blocklists import Finding, Health, Outcome, Zone, query_name
from webapp.net.async_resolver import AsyncResolver
from webapp.net.blocklists import IMPATIENCE, PATIENCE, Lookups, check_zone
from webapp.settings import Bind

IP = "192.0.2.7"
BL, OTHER = Zone(1, "bl.test", "on"), Zone(2, "other.test", "on")


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer() as server:
        yield server


class Clock:
    """Time that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def resolver(dns: DnsServer) -> AsyncResolver:
    return AsyncResolver(Bind("127.0.0.1", dns.port))


def lookups(dns: DnsServer, **kwargs: Any) -> Lookups:
    return Lookups(resolver(dns), **kwargs)


def look_up(dns: DnsServer, *zones: Zone, ip: str = IP, **kwargs: Any) -> list[Finding]:
    return asyncio.run(lookups(dns, **kwargs).look_up(ip, zones or [BL]))


def listing(dns: DnsServer, *answers: str, ip: str = IP, zone: str = "bl.test") -> None:
    dns.records[query_name(ip, zone), "A"] = list(answers)


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        (["127.0.0.2"], Outcome.LISTED),
        (["127.0.0.4", "127.0.0.10"], Outcome.LISTED),
        ([], Outcome.NOT_LISTED),
        (["127.255.255.254"], Outcome.REFUSED),
        (["203.0.113.9"], Outcome.OUTSIDE),
    ],
)
def test_answers(dns: DnsServer, answers: list[str], outcome: Outcome) -> None:
    listing(dns, *answers)
    [finding] = look_up(dns)
    assert finding.outcome is outcome
    assert finding.answers == tuple(answers)
    assert finding.refuses == (outcome is Outcome.LISTED)


@pytest.mark.parametrize("ip", ["2001:db8::25", "::1"])
def test_ipv6(dns: DnsServer, ip: str) -> None:
    listing(dns, "127.0.0.3", ip=ip)
    assert look_up(dns, ip=ip)[0].listed
    assert not look_up(dns, ip="2001:db8::26")[0].listed
    assert query_name(ip, "bl.test").count(".") == 33


def test_the_zones_own_words(dns: DnsServer) -> None:
    listing(dns, "127.0.0.2")
    dns.txt[query_name(IP, "bl.test")] = ["Spam\r\nseen, see https://bl.test/" + "x" * 400]
    [finding] = look_up(dns)
    assert finding.reason.startswith("Spam seen, see https://bl.test/xxx")
    assert len(finding.reason) == 200


def test_a_listing_without_words_still_is_one(dns: DnsServer) -> None:
    listing(dns, "127.0.0.2")
    dns.silent.add((query_name(IP, "bl.test"), "TXT"))
    [finding] = look_up(dns, wait=0.6)
    assert finding.listed
    assert finding.reason == ""


def test_failure_and_silence_list_nobody(dns: DnsServer) -> None:
    dns.failing.add("*.bl.test")
    dns.silent.add("*.other.test")
    assert [finding.outcome for finding in look_up(dns, BL, OTHER, wait=0.4)] == [Outcome.FAILED, Outcome.SILENT]


def test_the_first_zone_that_refuses_ends_the_wait(dns: DnsServer) -> None:
    listing(dns, "127.0.0.2")
    dns.silent.add("*.other.test")
    # Waiting for the other would outlast the test's time limit.
    assert [finding.outcome for finding in look_up(dns, OTHER, BL, wait=300)] == [Outcome.SILENT, Outcome.LISTED]


def test_one_that_only_observes_does_not_end_the_wait(dns: DnsServer) -> None:
    listing(dns, "127.0.0.2")
    listing(dns, "127.0.0.2", zone="other.test")
    found = look_up(dns, Zone(1, "bl.test", "observe"), Zone(2, "other.test", "observe"))
    assert [(finding.listed, finding.refuses) for finding in found] == [(True, False)] * 2


def test_answers_are_remembered_for_their_ttl(dns: DnsServer) -> None:
    clock, name = Clock(), query_name(IP, "bl.test")

    async def walk() -> None:
        asked = lookups(dns, clock=clock)
        for _ in range(3):
            assert not (await asked.look_up(IP, [BL]))[0].listed
        assert dns.asked[name, "A"] == 1
        listing(dns, "127.0.0.2")
        clock.now += dns.ttl + 1
        for _ in range(3):
            assert (await asked.look_up(IP, [BL]))[0].listed
        assert dns.asked[name, "A"] == 2
        # The memory holds answers, not verdicts: what counts may change meanwhile.
        assert (await asked.look_up(IP, [Zone(1, "bl.test", "observe")]))[0].refuses is False
        assert dns.asked[name, "A"] == 2

    asyncio.run(walk())


def test_without_a_ttl_nothing_is_remembered(dns: DnsServer) -> None:
    dns.ttl = 0

    async def walk() -> None:
        asked = lookups(dns)
        for _ in range(2):
            await asked.look_up(IP, [BL])
        assert dns.asked[query_name(IP, "bl.test"), "A"] == 2
        await asyncio.gather(*(asked.look_up(IP, [BL]) for _ in range(20)))  # at once, they share a question
        assert dns.asked[query_name(IP, "bl.test"), "A"] == 3

    asyncio.run(walk())


def test_the_memory_is_bounded(dns: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.net.blocklists._MOST_REMEMBERED", 5)

    async def walk() -> None:
        asked = lookups(dns)
        for n in range(20):
            await asked.look_up(f"192.0.2.{n}", [BL])
        assert len(asked._remembered) == 5

    asyncio.run(walk())


def test_a_silent_zone_is_asked_but_not_waited_for(dns: DnsServer) -> None:
    clock = Clock()
    dns.silent.add("*.bl.test")

    async def walk() -> None:
        asked = lookups(dns, wait=0.3, clock=clock)

        async def outcome(n: int) -> Outcome:
            return (await asked.look_up(f"192.0.2.{n}", [BL]))[0].outcome

        for n in range(PATIENCE):
            assert await outcome(n) is Outcome.SILENT
        assert await outcome(10) is Outcome.NOT_WAITED
        await asyncio.gather(*asked._running.values())
        assert dns.asked[query_name("192.0.2.10", "bl.test"), "A"] >= 1
        clock.now += IMPATIENCE + 1
        assert await outcome(11) is Outcome.SILENT  # one more silence is enough this time
        assert await outcome(12) is Outcome.NOT_WAITED
        # An answer in the background ends the impatience at once.
        dns.silent.clear()
        listing(dns, "127.0.0.2", ip="192.0.2.13")
        assert await outcome(13) is Outcome.NOT_WAITED
        await asyncio.gather(*asked._running.values())
        assert await outcome(13) is Outcome.LISTED
        assert await outcome(14) is Outcome.NOT_LISTED

    asyncio.run(walk())


def healthy(dns: DnsServer, zone: str = "bl.test") -> None:
    listing(dns, "127.0.0.2", ip="127.0.0.2", zone=zone)


def test_self_tests(dns: DnsServer) -> None:
    def health() -> Health:
        return asyncio.run(check_zone(resolver(dns), "bl.test", 0.5)).health

    assert health() is Health.WRONG  # it lists nothing
    healthy(dns)
    assert health() is Health.GOOD
    listing(dns, "127.0.0.2", ip="127.0.0.1")
    assert health() is Health.WRONG  # it lists everything
    del dns.records[query_name("127.0.0.1", "bl.test"), "A"]
    listing(dns, "127.255.255.254", ip="127.0.0.2")
    assert health() is Health.REFUSED
    dns.failing.add("*.bl.test")
    assert health() is Health.FAILED
    dns.silent.add("*.bl.test")
    assert health() is Health.SILENT


def test_a_parked_domain_is_no_blocklist(dns: DnsServer) -> None:
    dns.records["*.bl.test", "A"] = ["203.0.113.9"]
    checkup = asyncio.run(check_zone(resolver(dns), "bl.test"))
    assert checkup.health is Health.WRONG
    assert "127.0.0.2 was answered with 203.0.113.9" in checkup.said


def test_a_zone_of_ipv6_addresses_alone(dns: DnsServer) -> None:
    listing(dns, "127.0.0.2", ip="::ffff:7f00:2")
    assert asyncio.run(check_zone(resolver(dns), "bl.test")).health is Health.GOOD
    listing(dns, "127.0.0.2", ip="::ffff:7f00:1")
    assert asyncio.run(check_zone(resolver(dns), "bl.test")).health is Health.WRONG


def test_a_mapped_address_is_looked_up_as_what_it_is(dns: DnsServer) -> None:
    listing(dns, "127.0.0.2")
    assert look_up(dns, ip=f"::ffff:{IP}")[0].listed
