"""Senders are told by mail what failed: submitted over SMTP's door, refused by a real server, told over another."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage

from sqlalchemy import select

from tests.admin.mailroom import credential, send
from tests.support.factories import OFFICE, submission
from tests.support.queue import deliveries, delivering, settled, statuses, until
from tests.support.smtp_sink import SmtpSink
from webapp.core.models import Event, Message, SmtpUser
from webapp.core.services import credentials
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway


def refusing(sink: SmtpSink) -> None:
    sink.replies["ann@example.org"] = "550 5.1.1 No such user here"
    sink.replies["bob@example.org"] = "552 5.2.2 Mailbox full"


def notices(sink: SmtpSink) -> list[EmailMessage]:
    """What came to the sender, parsed."""
    arrived = sink.arrived("shop@example.com")
    assert all(one.sender == "<>" for one in arrived), "never a sender to answer to"
    found = [email.message_from_bytes(one.content, policy=email.policy.default) for one in arrived]
    return [message for message in found if isinstance(message, EmailMessage)]


def test_one_notice_tells_of_all_that_failed_together(relaying: Callable[..., Gateway], sink: SmtpSink) -> None:
    gateway = relaying()
    refusing(sink)
    first = send(gateway, "ann@example.org", "bob@example.org", "cid@example.org")
    with delivering(gateway):
        until(lambda: settled(gateway) and notices(sink))

    (notice,) = notices(sink)
    assert notice.get_content_type() == "multipart/report"
    _, status, original = notice.iter_parts()
    about = {block["Final-Recipient"]: block for block in status.get_payload()[1:]}
    assert {name: (block["Action"], block["Status"]) for name, block in about.items()} == {
        "rfc822; ann@example.org": ("failed", "5.1.1"),
        "rfc822; bob@example.org": ("failed", "5.2.2"),
    }
    assert about["rfc822; ann@example.org"]["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user here"
    assert about["rfc822; ann@example.org"]["Remote-MTA"] == "dns; 127.0.0.1"
    assert "Subject: Your order" in original.get_payload()
    assert statuses(gateway, first) == ["bounced", "bounced", "delivered"]
    with gateway.database.session() as session:
        ours = session.scalars(select(Message).where(Message.door == "system")).one()
        told = session.scalars(select(Event).where(Event.message_id == ours.id)).all()
    assert (ours.envelope_from, ours.from_email) == ("", "MAILER-DAEMON@mail.postlatch.test")
    assert told == [], "no program's business"


def test_giving_up_is_told_too(relaying: Callable[..., Gateway], sink: SmtpSink) -> None:
    gateway = relaying(retry_max_age=timedelta(seconds=1), retry_first=timedelta(milliseconds=200))
    sink.replies["ann@example.org"] = "451 4.7.1 Greylisted"
    send(gateway)
    with delivering(gateway):
        until(lambda: notices(sink))

    people, status, _ = notices(sink)[0].iter_parts()
    assert "Gave up after" in people.get_content()
    assert status.get_payload()[1]["Status"] == "4.7.1"


def test_a_notice_that_fails_brings_no_other(relaying: Callable[..., Gateway], sink: SmtpSink) -> None:
    gateway = relaying()
    refusing(sink)
    sink.replies["shop@example.com"] = "550 5.1.1 Nobody"
    send(gateway)
    with delivering(gateway):
        until(lambda: statuses(gateway) == ["bounced", "bounced"])

    assert [row.recipient for row in deliveries(gateway)] == ["ann@example.org", "shop@example.com"]


def test_nobody_is_told_who_uses_the_api_or_switched_it_off(relaying: Callable[..., Gateway], sink: SmtpSink) -> None:
    gateway = relaying()
    refusing(sink)
    who = credential(gateway)
    by_api = submission(who, peer=type(OFFICE)("http", "192.0.2.10", "curl", "HTTP"))
    gateway.submit(by_api).result(10)
    with gateway.database.session() as session:
        credentials.set_dsn_on_failure(session, COMMAND_LINE, session.get_one(SmtpUser, who.id), False)
    send(gateway, "bob@example.org")
    with delivering(gateway):
        until(lambda: statuses(gateway) == ["bounced", "bounced"])

    assert len(deliveries(gateway)) == 2
