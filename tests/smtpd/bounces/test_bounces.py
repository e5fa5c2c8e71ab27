"""Mail that a server takes and then can't deliver: sent and brought back over real sockets, with a real DNS between."""

from __future__ import annotations

import email
import email.policy
import smtplib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.admin.mailroom import credential, send
from tests.smtpd.bounces.reports import bring, listening, report
from tests.smtpd.delivery.mail_net import MailNet
from tests.smtpd.delivery.mail_net import net as net  # noqa: PLC0414 - a fixture
from tests.smtpd.submission.wire import trusting
from tests.support.queue import attempts, deliveries, delivering, enqueue, message_status, settled, statuses, until
from webapp.core.models import Delivery, Event, Message, Suppression, utcnow
from webapp.core.services import domain_checks
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.deliveries import claim
from webapp.core.services.gateway import Gateway
from webapp.core.services.return_paths import ReturnPath

BACK = "mail.postlatch.test"


@pytest.fixture
def make_gateway(net: MailNet) -> Callable[..., Gateway]:
    """Services that deliver directly into a net with a server for example.org and one for example.com."""
    net.serve("mx.example.org")
    net.serve("mx.example.com")
    net.domain("example.org", "10 mx.example.org")
    net.domain("example.com", "10 mx.example.com")

    def make(**settings: Any) -> Gateway:
        return net.gateway(**({"bounce_bind": "127.0.0.1:0"} | settings))

    return make


@pytest.fixture
def gateway(make_gateway: Callable[..., Gateway]) -> Gateway:
    """Shadows the usual one."""
    return make_gateway()


@pytest.fixture
def port(gateway: Gateway) -> Iterator[int]:
    with listening(gateway) as port:
        yield port


def sent(gateway: Gateway, net: MailNet, *recipients: str) -> str:
    """Send to *recipients*, who are all taken; return the return address."""
    send(gateway, *(recipients or ("ann@example.org",)))
    with delivering(gateway):
        until(lambda: settled(gateway))
    (message,) = net.sinks["mx.example.org"].messages
    return message.sender


def suppressed(gateway: Gateway) -> list[str]:
    with gateway.database.session() as session:
        return list(session.scalars(select(Suppression.email).where(Suppression.since.is_not(None))))


def state(gateway: Gateway) -> list[int]:
    """How much there is of all that a report can bring about."""
    with gateway.database.session() as session:
        counts = [session.scalar(select(func.count()).select_from(model)) for model in (Event, Suppression, Message)]
        bounced = session.scalar(select(func.count()).where(Delivery.status == "bounced"))
    return [count or 0 for count in (*counts, bounced)]


def test_a_report_finds_its_mail_and_the_sender_is_told(gateway: Gateway, net: MailNet, port: int) -> None:
    back = sent(gateway, net)
    assert back.endswith(f"@{BACK}")
    assert len(back.partition("@")[0]) <= 64
    (row,) = deliveries(gateway)
    assert row.status == "delivered"

    assert bring(port, back, report(to=back))[0] == 250

    (row, notice) = deliveries(gateway)
    assert (row.status, row.smtp_code) == ("bounced", 550)
    assert row.reason == "5.1.1 <ann@example.org>: Recipient address rejected: User unknown"
    assert message_status(gateway, row.message_id) == "bounced"
    last = attempts(gateway, row.id)[-1]
    assert (last.transport, last.host, last.outcome) == ("report", "mx.example.org", "bounced")
    with gateway.database.session() as session:
        event = session.scalars(select(Event).where(Event.event == "bounced")).one()
        suppressed = session.scalars(select(Suppression)).one()
    assert (event.recipient, event.smtp_code, event.bounce_type) == ("ann@example.org", 550, "hard")
    assert (suppressed.email, suppressed.message_id) == ("ann@example.org", row.message_id)
    assert suppressed.since
    assert notice.recipient == "shop@example.com"

    with delivering(gateway):
        until(lambda: settled(gateway))
    (told,) = net.sinks["mx.example.com"].messages
    assert told.sender == "<>"
    parts = list(email.message_from_bytes(told.content, policy=email.policy.default).iter_parts())
    about_ann = parts[1].get_payload()[1]
    assert about_ann["Final-Recipient"] == "rfc822; ann@example.org"
    assert about_ann["Remote-MTA"] == "dns; mx.example.org"
    assert "User unknown" in about_ann["Diagnostic-Code"]


def test_a_domain_with_an_alias_for_it_has_its_own_return_address(gateway: Gateway, net: MailNet, port: int) -> None:
    net.dns.records["bounces.example.com", "CNAME"] = [f"{BACK}."]
    domain_checks.check(gateway, credential(gateway, "example.com").domain_id, COMMAND_LINE)
    back = sent(gateway, net)
    assert back.endswith("@bounces.example.com")

    assert bring(port, back, report(to=back))[0] == 250
    assert statuses(gateway)[0] == "bounced"


def test_a_repeated_or_forged_report_changes_nothing(gateway: Gateway, net: MailNet, port: int) -> None:
    back = sent(gateway, net)
    local, _, domain = back.partition("@")
    turned = "a" if local[-1] != "a" else "b"
    for forged in (f"{local[:-1]}{turned}@{domain}", f"b-{'0' * 26}-{'a' * 16}@{domain}", f"{local}@example.com"):
        code, text = bring(port, forged, report())
        assert (code, text[:5]) == (550, b"5.1.1")
        assert b"[ref " in text
    assert bring(port, "postmaster@example.org", report())[0] == 550
    assert statuses(gateway) == ["delivered"]

    assert bring(port, back.upper(), report())[0] == 250, "other servers change capitals"
    assert statuses(gateway)[0] == "bounced"
    before = state(gateway)
    assert bring(port, back, report(status="5.7.1"), sender="x@mx.example.org")[0] == 250
    assert state(gateway) == before


def test_what_is_no_final_failure_is_dropped_without_a_word(gateway: Gateway, net: MailNet, port: int) -> None:
    back = sent(gateway, net)
    before = state(gateway)
    for content in (
        report(action="delayed", status="4.4.1"),
        report(action="delivered", status="2.0.0"),
        b"From: ann@example.org\r\nAuto-Submitted: auto-replied\r\nSubject: On holiday\r\n\r\nBack on Monday.\r\n",
        b"",
        report().replace(b"Action: failed", b"Action failed"),
    ):
        assert bring(port, back, content)[0] == 250
    assert state(gateway) == before
    assert statuses(gateway) == ["delivered"]


def test_of_several_recipients_those_bounce_who_are_named(gateway: Gateway, net: MailNet, port: int) -> None:
    back = sent(gateway, net, "ann@example.org", "bob@example.org", "cid@example.org")
    assert bring(port, back, report("BOB@Example.org", "eve@example.org"))[0] == 250
    assert statuses(gateway)[:3] == ["delivered", "bounced", "delivered"]


def test_mail_that_was_passed_on_bounces_under_another_address(gateway: Gateway, net: MailNet, port: int) -> None:
    back = sent(gateway, net)
    assert bring(port, back, report("ann.old@elsewhere.example"))[0] == 250
    assert statuses(gateway)[0] == "bounced"


def test_a_full_mailbox_is_suppressed_once_it_was_full_three_times(gateway: Gateway, net: MailNet, port: int) -> None:
    full = report(status="5.2.2")
    for times in (1, 2, 3):
        send(gateway)
        with delivering(gateway):
            until(lambda: settled(gateway))
        assert suppressed(gateway) == []
        back = net.sinks["mx.example.org"].messages[-1].sender
        assert bring(port, back, full)[0] == 250
        assert suppressed(gateway) == (["ann@example.org"] if times == 3 else [])


def test_a_report_may_bring_back_a_large_mail(gateway: Gateway, net: MailNet, port: int) -> None:
    back = sent(gateway, net)
    assert bring(port, back, report(body=".\n" + ("x" * 70 + "\n") * 40_000))[0] == 250
    assert statuses(gateway)[0] == "bounced"


def test_a_report_that_is_quicker_than_our_own_books_is_to_come_again(gateway: Gateway, port: int) -> None:
    path = ReturnPath(enqueue(gateway))
    assert gateway.return_paths
    back = gateway.return_paths.address(path)
    with gateway.database.session() as session:
        claim(session, lease="a worker", now=utcnow(), limit=1, fresh=True)

    code, text = bring(port, back, report())
    assert (code, text[:5]) == (451, b"4.3.0")
    assert statuses(gateway) == ["delivering"]


def test_the_door_is_for_reports_alone(gateway: Gateway, port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        assert client.ehlo("mx.example.org")[0] == 250
        assert client.has_extn("starttls")
        assert client.starttls(context=trusting())[0] == 220
        client.ehlo("mx.example.org")
        assert not client.has_extn("auth")
        assert client.docmd("AUTH PLAIN AGEAYg==")[0] == 502
        assert client.docmd("MAIL FROM:<> SIZE=99999999")[0] == 552
        assert client.docmd("DATA")[0] == 503
        assert client.docmd("MAIL FROM:<>")[0] == 250
        assert client.docmd("DATA")[0] == 503


def test_without_a_listener_mail_leaves_from_the_client_s_sender(
    make_gateway: Callable[..., Gateway], net: MailNet
) -> None:
    gateway = make_gateway(bounce_bind=None)
    assert sent(gateway, net) == "shop@example.com"


def test_the_null_sender_stays(gateway: Gateway, net: MailNet) -> None:
    enqueue(gateway, envelope_from="", door="system")
    with delivering(gateway):
        until(lambda: settled(gateway))
    assert net.sinks["mx.example.org"].messages[0].sender == "<>"
