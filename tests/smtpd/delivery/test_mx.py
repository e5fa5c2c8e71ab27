"""Direct delivery as a whole: a real DNS server, real mail servers on loopback, and what becomes of each recipient."""

from __future__ import annotations

from collections import Counter

import pytest

from smtpd.delivery.transports.pool import PoolLimits
from tests.smtpd.delivery.mail_net import MailNet, net
from tests.support.queue import SOURCE, attempts, deliveries, delivering, enqueue, settled, statuses, until
from webapp.core.models import Delivery
from webapp.core.services.gateway import Gateway

__all__ = ["net"]


def deliver(gateway: Gateway, **options: object) -> dict[str, Delivery]:
    """Deliver until nothing is left to do; give the deliveries by recipient."""
    with delivering(gateway, **options):
        until(lambda: settled(gateway))
    return {row.recipient: row for row in deliveries(gateway)}


def deliver_once(gateway: Gateway, **options: object) -> dict[str, Delivery]:
    """Deliver until each was tried."""
    with delivering(gateway, **options):
        until(lambda: all(row.attempts and row.status != "delivering" for row in deliveries(gateway)))
    return {row.recipient: row for row in deliveries(gateway)}


def test_mail_goes_to_the_most_preferred_server_that_is_up(net: MailNet) -> None:
    best, second, third = (net.serve(f"mx{number}.example.org") for number in (1, 2, 3))
    net.domain("example.org", "30 mx3.example.org", "10 mx1.example.org", "20 mx2.example.org")
    gateway = net.gateway()

    enqueue(gateway, "one@example.org")
    deliver(gateway)
    assert [m.content for m in best.messages] == [SOURCE]
    best.stop()
    second.replies["CONNECT"] = "421 4.3.2 Not now"
    enqueue(gateway, "two@example.org")
    (attempt,) = attempts(gateway, deliver(gateway)["two@example.org"].id)

    assert [m.recipients for m in third.messages] == [("two@example.org",)]
    assert (attempt.transport, attempt.host) == ("mx", f"mx3.example.org[127.0.0.3]:{net.port}")


def test_servers_of_one_preference_share_the_mail(net: MailNet) -> None:
    one, two = net.serve("mx1.example.org"), net.serve("mx2.example.org")
    net.domain("example.org", "10 mx1.example.org", "10 mx2.example.org")
    gateway = net.gateway()
    for number in range(20):
        enqueue(gateway, f"r{number}@example.org")

    deliver(gateway)

    assert one.messages
    assert two.messages
    assert len(one.messages) + len(two.messages) == 20


def test_a_domain_without_mx_records_is_its_own_server_by_each_of_its_addresses(net: MailNet) -> None:
    sink = net.serve("example.org")
    net.dns.records["example.org", "A"] = ["127.0.0.99", sink.host]
    net.dns.records["example.org", "AAAA"] = ["::1"]
    gateway = net.gateway()
    for number in range(4):
        enqueue(gateway, f"r{number}@example.org")

    deliver(gateway)

    assert len(sink.messages) == 4


def test_an_alias_is_followed(net: MailNet) -> None:
    sink = net.serve("mx.example.net")
    net.dns.records["example.org", "CNAME"] = ["example.net."]
    net.domain("example.net", "10 mx.example.net")
    gateway = net.gateway()
    enqueue(gateway, "ann@example.org")

    deliver(gateway)

    assert [m.recipients for m in sink.messages] == [("ann@example.org",)]


@pytest.mark.parametrize(
    ("exchangers", "code", "enhanced"),
    [
        (["0 ."], 556, "5.1.10"),
        (None, 550, "5.1.2"),
        (["10 nowhere.example.org."], 550, "5.4.4"),
        (["10 mail.postlatch.test."], 550, "5.4.6"),
    ],
    ids=["null MX", "no such domain", "no such server", "ourselves"],
)
def test_what_the_dns_rules_out_bounces_at_once(
    net: MailNet, exchangers: list[str] | None, code: int, enhanced: str
) -> None:
    if exchangers is not None:
        net.dns.records["example.org", "MX"] = exchangers
    gateway = net.gateway()
    enqueue(gateway, "ann@example.org")

    row = deliver(gateway)["ann@example.org"]

    assert (row.status, row.smtp_code, row.attempts) == ("bounced", code, 1)
    assert (row.reason or "").startswith(enhanced)


@pytest.mark.parametrize("fails", ["example.org", "mx.example.org"])
def test_a_dns_that_fails_defers_until_it_is_back(net: MailNet, fails: str) -> None:
    sink = net.serve("mx.example.org")
    net.domain("example.org", "10 mx.example.org")
    net.dns.failing.add(fails)
    gateway = net.gateway()
    enqueue(gateway, "ann@example.org")

    with delivering(gateway):
        until(lambda: statuses(gateway) == ["deferred"])
        assert (deliveries(gateway)[0].reason or "").startswith("4.4.3")
        net.dns.failing.clear()
        until(lambda: statuses(gateway) == ["delivered"])

    assert len(sink.messages) == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "0.0.0.0"])
def test_addresses_that_are_not_public_are_never_connected_to(net: MailNet, address: str) -> None:
    sink = net.serve("mx.example.org")
    net.dns.records["mx.example.org", "A"] = [address]
    net.domain("example.org", "10 mx.example.org")
    gateway = net.gateway(allow_private_mx=False)
    enqueue(gateway, "ann@example.org")

    row = deliver(gateway)["ann@example.org"]

    assert sink.connections == 0
    assert (row.status, row.smtp_code) == ("bounced", 550)
    assert address in (row.reason or "")


def test_recipients_share_what_can_be_shared(net: MailNet) -> None:
    hosting, own = net.serve("mx.hosting.net"), net.serve("mx.example.net")
    net.domain("one.example.org", "10 mx.hosting.net")
    net.domain("two.example.org", "10 mx.hosting.net")
    net.domain("example.net", "10 mx.example.net")
    gateway = net.gateway()
    for _ in range(3):
        enqueue(gateway, "a@one.example.org", "b@two.example.org", "c@example.net", "d@example.com")
    rows = deliver(gateway, limits=PoolLimits(connections=1))

    assert [m.recipients for m in hosting.messages] == [("a@one.example.org", "b@two.example.org")] * 3
    assert [m.recipients for m in own.messages] == [("c@example.net",)] * 3
    assert (hosting.connections, own.connections) == (1, 1)
    assert rows["d@example.com"].status == "bounced"


def test_each_recipient_ends_rightly_and_once(net: MailNet) -> None:
    sink, grey, dying = net.serve("mx.example.org"), net.serve("mx.example.net"), net.serve("mx.example.com")
    for domain in ("example.org", "example.net", "example.com"):
        net.domain(domain, f"10 mx.{domain}")
    sink.replies["no@example.org"] = "550 5.1.1 Unknown here"
    grey.replies["ann@example.net"] = "450 4.7.1 Greylisted, come back later"
    dying.drops.add("DATA")
    gateway = net.gateway()
    enqueue(gateway, "a@example.org", "no@example.org", "b@example.org", "ann@example.net", "bob@example.com")

    with delivering(gateway):
        until(lambda: [row.status for row in deliveries(gateway)].count("deferred") == 2)
        grey.replies.clear()
        dying.drops.clear()
        dying.messages.clear()  # the connection broke after the last octet: who knows what it took
        until(lambda: settled(gateway))

    rows = {row.recipient: row for row in deliveries(gateway)}
    assert rows.pop("no@example.org").status == "bounced"
    assert {row.status for row in rows.values()} == {"delivered"}
    arrived = Counter(r for one in (sink, grey, dying) for m in one.messages for r in m.recipients)
    assert arrived == Counter(rows.keys())
    assert [a.outcome for a in attempts(gateway, rows["ann@example.net"].id)][-1] == "delivered"
    assert len(attempts(gateway, rows["ann@example.net"].id)) >= 2


def test_a_dead_destination_holds_up_nobody_else(net: MailNet) -> None:
    dead, alive = net.serve("mx.dead.example"), net.serve("mx.example.org")
    net.domain("dead.example", "10 mx.dead.example")
    net.domain("example.org", "10 mx.example.org")
    dead.hangs.add("CONNECT")
    gateway = net.gateway(retry_first="1h")
    for number in range(130):  # more than a lane takes in
        enqueue(gateway, f"r{number}@dead.example")

    with delivering(gateway):
        until(lambda: dead.connections == PoolLimits().connections)
        enqueue(gateway, "ann@example.org")
        enqueue(gateway, "bob@example.org", attempts=1)
        until(lambda: len(alive.messages) == 2, seconds=10)
        assert not any(row.attempts > 1 for row in deliveries(gateway) if row.recipient.endswith("dead.example"))
        dead.hangs.clear()
        until(lambda: settled(gateway), seconds=40)

    assert Counter(r for m in dead.messages for r in m.recipients) == Counter(f"r{n}@dead.example" for n in range(130))
