"""Delivery as a whole: the queue on each database, the engine, and real servers on loopback."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import delete, select, update

from smtpd.delivery.routes import NO_RELAY
from smtpd.delivery.transports.connect import Timeouts
from tests.support.factories import make_domain
from tests.support.queue import (
    SOURCE,
    attempts,
    deliveries,
    delivering,
    enqueue,
    message_status,
    settled,
    statuses,
    until,
)
from tests.support.smtp_sink import SmtpSink
from webapp import gateway_of
from webapp.core.models import Delivery, DomainRelay, Message, MessageSource, Preference, utcnow
from webapp.core.rules.relay import RelayTarget
from webapp.core.services import domains, relays, suppressions
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway

MakeGateway = Callable[..., Gateway]


def test_mail_leaves_through_the_relay(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    sink.replies["no@example.org"] = "550 5.1.1 Unknown"
    message_id = enqueue(gateway, "ann@example.org", "no@example.org")

    with delivering(gateway):
        until(lambda: settled(gateway))

    (message,) = sink.messages
    assert (message.content, message.recipients) == (SOURCE, ("ann@example.org",))
    assert statuses(gateway, message_id) == ["delivered", "bounced"]
    assert message_status(gateway, message_id) == "bounced"


def test_very_many_recipients_are_served_in_several_transactions(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    recipients = [f"r{number}@example.org" for number in range(250)]
    enqueue(gateway, *recipients)

    with delivering(gateway):
        until(lambda: settled(gateway))

    assert Counter(r for m in sink.messages for r in m.recipients) == Counter(recipients)
    assert max(len(m.recipients) for m in sink.messages) <= 100


def test_nothing_leaves_in_capture_mode(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying(delivery="capture")
    enqueue(gateway)
    enqueue(gateway, captured=True)
    enqueue(gateway, attempts=3)

    with delivering(gateway):
        until(lambda: settled(gateway))

    assert statuses(gateway) == ["captured"] * 3
    assert sink.connections == 0


def test_what_was_captured_stays_here_after_a_change_to_relay(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    enqueue(gateway, captured=True)
    enqueue(gateway, "new@example.org")

    with delivering(gateway):
        until(lambda: settled(gateway))

    assert statuses(gateway) == ["captured", "delivered"]
    assert [m.recipients for m in sink.messages] == [("new@example.org",)]


def test_a_change_on_the_settings_page_takes_effect_while_it_runs(
    make_app: Callable[..., Flask], sink: SmtpSink
) -> None:
    gateway = gateway_of(make_app(retry_first="1s"))
    with delivering(gateway):
        first = enqueue(gateway)
        until(lambda: statuses(gateway, first) == ["captured"])
        values = {"delivery": "relay", "relay_url": f"smtp://127.0.0.1:{sink.port}"}
        with gateway.database.session() as session:
            gateway.preferences.store(session, COMMAND_LINE, values)
        until(lambda: gateway.preferences.current().delivery == "relay")
        second = enqueue(gateway)
        until(lambda: statuses(gateway, second) == ["delivered"])

    assert len(sink.messages) == 1
    with gateway.database.session() as session:
        session.execute(delete(Preference))


def test_mail_taken_right_after_a_change_to_relay_leaves(make_app: Callable[..., Flask], sink: SmtpSink) -> None:
    web, worker = gateway_of(make_app()), gateway_of(make_app())
    assert worker.preferences.current().delivery == "capture", "remembered for a moment, as a process does"
    with web.database.session() as session:
        web.preferences.store(
            session, COMMAND_LINE, {"delivery": "relay", "relay_url": f"smtp://127.0.0.1:{sink.port}"}
        )
    message_id = enqueue(web)

    with delivering(worker):
        until(lambda: settled(worker))

    assert statuses(worker, message_id) == ["delivered"]


def test_mail_that_has_no_way_out_waits_and_says_why(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying(retry_first="1h", relay_url=None)
    enqueue(gateway)

    with delivering(gateway):
        until(lambda: statuses(gateway) == ["deferred"])

    assert deliveries(gateway)[0].reason == NO_RELAY
    assert sink.connections == 0


def test_a_relay_that_is_down_and_comes_back(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    sink.stop()
    message_ids = [enqueue(gateway, f"r{number}@example.org") for number in range(20)]

    with delivering(gateway):
        until(lambda: set(statuses(gateway)) == {"deferred"})
        assert "Connection refused" in (deliveries(gateway)[0].reason or "")
        sink.start()
        until(lambda: settled(gateway))

    assert Counter(m.recipients[0] for m in sink.messages) == Counter(f"r{number}@example.org" for number in range(20))
    assert {message_status(gateway, message_id) for message_id in message_ids} == {"delivered"}
    tries = attempts(gateway, deliveries(gateway)[0].id)
    assert [t.outcome for t in tries][-1] == "delivered"
    assert len(tries) >= 2


def test_mail_is_given_up_with_a_reason_when_the_relay_stays_down(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying(retry_first="0.2s", retry_max_age="2s")
    sink.stop()
    message_id = enqueue(gateway)

    with delivering(gateway):
        until(lambda: settled(gateway))

    (row,) = deliveries(gateway)
    assert row.status == message_status(gateway, message_id) == "failed"
    assert (row.reason or "").startswith("Gave up after 2 seconds; the last answer was: 127.0.0.1")
    assert row.attempts >= 2


def test_a_server_that_says_later_is_tried_again(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    sink.replies["ann@example.org"] = "450 4.2.0 Greylisted"
    enqueue(gateway)

    with delivering(gateway):
        until(lambda: statuses(gateway) == ["deferred"])
        del sink.replies["ann@example.org"]
        until(lambda: settled(gateway))

    (row,) = deliveries(gateway)
    assert [(t.outcome, t.smtp_code) for t in attempts(gateway, row.id)] == [("deferred", 450), ("delivered", 250)]


def test_scheduled_mail_leaves_at_its_time_and_not_before(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    at = utcnow() + timedelta(seconds=2)
    message_id = enqueue(gateway, send_at=at)

    with delivering(gateway):
        until(lambda: settled(gateway))

    (attempt,) = attempts(gateway, deliveries(gateway, message_id)[0].id)
    assert timedelta(0) <= attempt.started_at - at < timedelta(seconds=1)


def test_new_mail_is_tried_within_a_second_whatever_else_waits(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    sink.hangs.add("stuck@example.org")
    for _ in range(120):
        enqueue(gateway, "stuck@example.org", attempts=1)

    with delivering(gateway, timeouts=Timeouts(command=3)):
        until(lambda: "delivering" in statuses(gateway))
        message_id = enqueue(gateway, "new@example.org")
        until(lambda: sink.arrived("new@example.org"))
        (row,) = deliveries(gateway, message_id)
        until(lambda: attempts(gateway, row.id))

    (attempt,) = attempts(gateway, row.id)
    with gateway.database.session() as session:
        created = session.get_one(Message, message_id).created_at
    assert attempt.started_at - created < timedelta(seconds=1)


def test_new_mail_for_a_relay_that_never_answers_is_settled_soon(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying(retry_first="1h")
    sink.hangs.add("CONNECT")
    for number in range(60):
        enqueue(gateway, f"r{number}@example.org")

    with delivering(gateway, timeouts=Timeouts(connect=1, greeting=1, command=1)):
        until(lambda: set(statuses(gateway)) == {"deferred"}, seconds=10)

    assert sink.connections < 30, "not each of them waited for the time-out"


def test_a_message_whose_source_is_gone_fails_and_says_so(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    message_id = enqueue(gateway, due_at=utcnow() + timedelta(hours=1))
    with gateway.database.session() as session:
        session.execute(delete(MessageSource))
        session.execute(update(Delivery).values(due_at=utcnow()))

    with delivering(gateway):
        until(lambda: settled(gateway))

    assert statuses(gateway, message_id) == ["failed"]
    assert "no longer stored" in (deliveries(gateway)[0].reason or "")


def test_a_suppressed_address_gets_nothing_and_the_others_do(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    sink.replies["gone@example.org"] = "550 5.1.1 Unknown"
    sink.replies["full@example.org"] = "552 5.2.2 Mailbox full"
    first = enqueue(gateway, "gone@example.org", "full@example.org")
    with delivering(gateway):
        until(lambda: settled(gateway))
        again = enqueue(gateway, "Gone@example.org", "full@example.org", "ann@example.org")
        alone = enqueue(gateway, "gone@example.org")
        until(lambda: settled(gateway))

    assert statuses(gateway, first) == ["bounced", "bounced"]
    assert statuses(gateway, again) == ["failed", "bounced", "delivered"]
    assert statuses(gateway, alone) == ["failed"]
    assert "suppressed" in (deliveries(gateway, again)[0].reason or "")
    assert [message.recipients for message in sink.messages] == [("ann@example.org",)]


def test_capture_shows_mail_to_suppressed_addresses_too(relaying: MakeGateway) -> None:
    gateway = relaying(delivery="capture")
    message_id = enqueue(gateway, "gone@example.org")
    with gateway.database.session() as session:
        suppressions.add(session, COMMAND_LINE, domains.find(session, "example.com"), "gone@example.org")
    with delivering(gateway):
        until(lambda: settled(gateway))
    assert statuses(gateway, message_id) == ["captured"]


@pytest.mark.parametrize("mode", ["relay", "mx", "capture"])
def test_a_domain_with_a_relay_of_its_own_uses_it_unless_nothing_leaves(
    relaying: MakeGateway, sink: SmtpSink, mode: str
) -> None:
    gateway = relaying(delivery=mode)
    with SmtpSink() as own:
        with gateway.database.session() as session:
            domain = domains.add(session, COMMAND_LINE, "example.com", vouch=True)
            target = RelayTarget.parse(f"smtp://127.0.0.1:{own.port}")
            relays.set_relay(session, gateway.vault, COMMAND_LINE, domain, target)
        make_domain(gateway, "example.net")
        enqueue(gateway)
        with delivering(gateway):
            until(lambda: settled(gateway))

    assert len(own.messages) == (mode != "capture")
    assert sink.connections == 0
    with gateway.database.session() as session:
        assert "127.0.0.1" not in session.scalars(select(DomainRelay.url)).one()
