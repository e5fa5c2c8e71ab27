"""Direct delivery as a whole: a real DNS server, real mail servers on loopback, and what becomes of each recipient."""

from __future__ import annotations

import ssl
from collections import Counter
from pathlib import Path

import pytest

from smtpd.delivery.transports.connect import Timeouts
from smtpd.delivery.transports.pool import PoolLimits
from tests.smtpd.delivery.mail_net import MailNet, net
from tests.smtpd.delivery.office import QUICK
from tests.support.queue import SOURCE, attempts, deliveries, delivering, enqueue, settled, statuses, until
from tests.support.smtp_sink import server_context
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


@pytest.mark.parametrize(
    ("stage", "reply"),
    [("EHLO", None), ("MAIL", "451 4.3.0 Broken"), ("MAIL", "421 4.3.2 Closing"), ("ann@example.org", "421 4.3.2 Bye")],
)
def test_a_server_that_is_not_up_to_it_is_passed_over(net: MailNet, stage: str, reply: str | None) -> None:
    first, second = net.serve("mx1.example.org"), net.serve("mx2.example.org")
    net.domain("example.org", "10 mx1.example.org", "20 mx2.example.org")
    if reply:
        first.replies[stage] = reply
    else:
        first.drops.add(stage)
    gateway = net.gateway()
    enqueue(gateway, "ann@example.org")

    row = deliver(gateway)["ann@example.org"]

    assert (row.status, row.attempts) == ("delivered", 1)
    assert (len(first.messages), len(second.messages)) == (0, 1)


def test_a_recipient_that_one_server_refuses_is_not_tried_at_another(net: MailNet) -> None:
    first, second = net.serve("mx1.example.org"), net.serve("mx2.example.org")
    net.domain("example.org", "10 mx1.example.org", "20 mx2.example.org")
    first.replies["no@example.org"] = "550 5.1.1 Unknown"
    gateway = net.gateway()
    enqueue(gateway, "no@example.org")

    assert deliver(gateway)["no@example.org"].status == "bounced"
    assert second.connections == 0


def test_servers_that_all_refuse_us_end_it_and_one_that_may_not_does_not(net: MailNet) -> None:
    first, second = net.serve("mx1.example.org"), net.serve("mx2.example.org")
    net.domain("example.org", "10 mx1.example.org", "20 mx2.example.org")
    first.replies["CONNECT"] = "554 5.7.1 You are on a list"
    second.replies["CONNECT"] = "421 4.7.0 Busy"
    gateway = net.gateway(retry_first="1h")
    enqueue(gateway, "ann@example.org")
    assert deliver_once(gateway)["ann@example.org"].status == "deferred"

    second.replies["CONNECT"] = "554 5.7.1 You are on a list"
    enqueue(gateway, "bob@example.org")
    row = deliver_once(gateway)["bob@example.org"]
    assert (row.status, row.smtp_code) == ("bounced", 554)


def test_a_silent_server_is_given_up_and_the_next_one_asked(net: MailNet) -> None:
    silent, second = net.serve("mx1.example.org"), net.serve("mx2.example.org")
    net.domain("example.org", "10 mx1.example.org", "20 mx2.example.org")
    silent.hangs.add("CONNECT")
    gateway = net.gateway()
    enqueue(gateway, "ann@example.org")

    assert deliver(gateway, timeouts=QUICK)["ann@example.org"].status == "delivered"
    assert len(second.messages) == 1
    silent.hangs.clear()


def test_a_slow_server_gets_its_time(net: MailNet) -> None:
    slow = net.serve("mx.example.org")
    net.domain("example.org", "10 mx.example.org")
    slow.hangs |= {"CONNECT", "DATA"}
    gateway = net.gateway()
    enqueue(gateway, "ann@example.org")

    with delivering(gateway, timeouts=Timeouts(connect=1)):
        until(lambda: slow.connections == 1)
        slow.hangs.clear()
        until(lambda: settled(gateway))

    assert (statuses(gateway), len(slow.messages)) == (["delivered"], 1)


def test_tls_is_used_where_it_is_offered_and_what_it_is_worth_is_noted(net: MailNet, tmp_path: Path) -> None:
    tls = net.serve("mx.example.org", tls=server_context(tmp_path))
    stripped = net.serve("mx.example.net")
    broken = net.serve("mx.example.com", tls=server_context(tmp_path))
    assert broken.tls
    broken.tls.minimum_version = broken.tls.maximum_version = ssl.TLSVersion.TLSv1_2
    broken.tls.set_ciphers("NULL")  # nothing that we would take
    for domain in ("example.org", "example.net", "example.com"):
        net.domain(domain, f"10 mx.{domain}")
    gateway = net.gateway()
    enqueue(gateway, "a@example.org", "b@example.net", "c@example.com")

    rows = deliver(gateway)

    assert [one.messages[0].in_tls for one in (tls, stripped, broken)] == [True, False, False]
    told = [attempts(gateway, row.id)[-1].tls for row in rows.values()]
    assert told[:2] == ["TLSv1.3, certificate not trusted (self-signed)", None]
    assert told[2] == "none: the TLS handshake failed"


def test_what_a_server_does_not_take_bounces_or_is_converted_but_never_cut(net: MailNet) -> None:
    small, plain = net.serve("mx.example.org"), net.serve("mx.example.net", hidden={"8BITMIME", "SMTPUTF8"})
    small.most_octets = 200
    net.domain("example.org", "10 mx.example.org")
    net.domain("example.net", "10 mx.example.net")
    body = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n".encode()
    gateway = net.gateway()
    enqueue(gateway, "large@example.org", source=SOURCE + b"x" * 300 + b"\r\n")
    enqueue(gateway, "eight@example.net", source=b"Subject: x\r\n" + body)
    enqueue(gateway, "signed@example.net", source=b"DKIM-Signature: v=1; d=example.com\r\nSubject: x\r\n" + body)
    enqueue(gateway, "jürgen@example.net", smtputf8=True)

    rows = deliver(gateway)

    assert small.messages == []
    (converted,) = plain.messages
    assert converted.recipients == ("eight@example.net",)
    assert converted.content.isascii()
    assert b"Gr=C3=BC=C3=9Fe" in converted.content or b"R3LDvMOfZQ" in converted.content
    found = {name: (row.status, row.smtp_code, (row.reason or "").split(" ")[0]) for name, row in rows.items()}
    assert found["large@example.org"] == ("bounced", 552, "5.3.4")
    assert found["signed@example.net"] == ("bounced", 554, "5.6.3")
    assert found["jürgen@example.net"] == ("bounced", 553, "5.6.7")


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
