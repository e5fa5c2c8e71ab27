"""Servers as they are: slow, silent, refusing, with TLS or without, and with less than all extensions."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from smtpd.delivery.transports.connect import Timeouts
from tests.smtpd.delivery.mail_net import MailNet, net
from tests.smtpd.delivery.office import QUICK
from tests.smtpd.delivery.test_mx import deliver, deliver_once
from tests.support.queue import SOURCE, attempts, delivering, enqueue, settled, statuses, until
from tests.support.smtp_sink import server_context

__all__ = ["net"]


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
