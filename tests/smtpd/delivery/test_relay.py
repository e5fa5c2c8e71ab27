"""The relay transport against a real server on loopback: what goes over the wire, and what each answer means."""

from __future__ import annotations

import socket

import pytest

from tests.smtpd.delivery.office import SOURCE, send, target
from tests.support.smtp_sink import SmtpSink
from webapp.core.rules.relay import RelayTarget


def test_a_message_arrives_octet_for_octet(sink: SmtpSink) -> None:
    office = send(target(sink))

    (message,) = sink.messages
    assert message.content == SOURCE
    assert (message.sender, message.recipients) == ("shop@example.com", ("ann@example.org",))
    assert message.options == (f"SIZE={len(SOURCE)}",)
    assert office.result() == ("delivered", 250, "2.0.0 Taken as number 1")
    attempt = office.outcomes["ann@example.org"].attempt
    assert attempt is not None
    assert (attempt.transport, attempt.host, attempt.tls) == ("relay", f"127.0.0.1:{sink.port}", None)


def test_a_server_that_takes_two_of_three_recipients(sink: SmtpSink) -> None:
    sink.replies["no@example.org"] = "550 5.1.1 Unknown here"
    sink.replies["later@example.org"] = "450 4.2.0 Greylisted"

    office = send(target(sink), "a@example.org", "no@example.org", "b@example.org", "later@example.org")

    assert [m.recipients for m in sink.messages] == [("a@example.org", "b@example.org")]
    assert office.result("a@example.org")[0] == office.result("b@example.org")[0] == "delivered"
    assert office.result("no@example.org") == ("bounced", 550, "5.1.1 Unknown here")
    assert office.result("later@example.org") == ("deferred", 450, "4.2.0 Greylisted")


@pytest.mark.parametrize("stage", ["MAIL", "ann@example.org", "DATA"])
@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("550 5.7.1 Refused", "bounced"),
        ("451 4.3.0 Not now", "deferred"),
        ("421 4.3.2 Closing", "deferred"),
        ("530 5.7.0 Log in first", "deferred"),
        ("250-2.0.0 One\r\n250 2.0.0 two", "delivered"),
    ],
)
def test_each_answer_at_each_stage(sink: SmtpSink, stage: str, reply: str, status: str) -> None:
    sink.replies[stage] = reply

    office = send(target(sink))

    assert office.result()[0] == status
    assert len(sink.messages) == (status == "delivered")
    if status != "delivered":
        assert office.result()[1] == int(reply[:3])


@pytest.mark.parametrize("stage", ["EHLO", "MAIL", "b@example.org", "DATA"])
@pytest.mark.parametrize("trouble", ["drops", "hangs"])
def test_a_server_that_breaks_off_or_falls_silent_defers_whom_it_had_not_settled(
    sink: SmtpSink, stage: str, trouble: str
) -> None:
    sink.replies["no@example.org"] = "550 5.1.1 Unknown"
    getattr(sink, trouble).add(stage)

    office = send(target(sink), "no@example.org", "a@example.org", "b@example.org")

    settled = stage in {"b@example.org", "DATA"}
    assert office.result("no@example.org")[0] == ("bounced" if settled else "deferred")
    assert office.result("a@example.org")[0] == "deferred"
    assert office.result("b@example.org")[0] == "deferred"
    assert f"127.0.0.1:{sink.port}" in (office.result("a@example.org")[2] or "")


def test_421_in_the_middle_leaves_what_was_refused_before_refused(sink: SmtpSink) -> None:
    sink.replies |= {"no@example.org": "550 5.1.1 Unknown", "b@example.org": "421 4.3.2 Closing"}

    office = send(target(sink), "no@example.org", "a@example.org", "b@example.org", "c@example.org")

    assert sink.messages == []
    assert office.result("no@example.org")[0] == "bounced"
    assert {office.result(f"{who}@example.org")[0] for who in "abc"} == {"deferred"}


def test_a_reply_cannot_bring_octets_that_the_database_refuses(sink: SmtpSink) -> None:
    sink.replies["MAIL"] = "550 5.7.1 \x00\x1b[31m\udcff " + "x" * 2000

    status, _, reason = send(target(sink)).result()

    assert status == "bounced"
    assert reason is not None
    assert reason.isprintable()
    assert len(reason) <= 500


@pytest.mark.parametrize(("offers", "options"), [(True, {"SMTPUTF8", "BODY=8BITMIME"}), (False, set())])
def test_extensions_are_used_when_offered(sink: SmtpSink, offers: bool, options: set[str]) -> None:
    if not offers:
        sink.hidden = {"SIZE", "8BITMIME", "SMTPUTF8"}
    source = "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße\r\n".encode()

    office = send(target(sink), "ann@example.org", "jürgen@example.org", source=source, eight_bit=True, smtputf8=True)

    (message,) = sink.messages
    assert set(message.options) - {f"SIZE={len(source)}"} == options
    assert office.result("ann@example.org")[0] == "delivered"
    if offers:
        assert message.content == source
        assert message.recipients == ("ann@example.org", "jürgen@example.org")
    else:
        assert message.content.isascii()
        assert b"quoted-printable" in message.content.lower() or b"base64" in message.content.lower()
        assert message.recipients == ("ann@example.org",)
        assert office.result("jürgen@example.org")[:2] == ("bounced", 553)


def test_headers_outside_ascii_bounce_where_smtputf8_is_missing(sink: SmtpSink) -> None:
    sink.hidden = {"SMTPUTF8"}

    office = send(target(sink), source="Subject: Grüße\r\n\r\nx\r\n".encode(), eight_bit=True, smtputf8=True)

    assert sink.messages == []
    assert office.result()[:2] == ("bounced", 553)


def test_a_port_where_nobody_listens_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        relay = RelayTarget.parse(f"smtp://127.0.0.1:{unused.getsockname()[1]}")
        office = send(relay)

    assert office.result() == ("deferred", None, f"{relay.label} can't be reached: Connection refused.")
