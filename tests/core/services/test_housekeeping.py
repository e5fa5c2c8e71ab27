"""What is deleted, when, and in how small bites."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select

from tests.core.services.queueing import ids, settle, take, tried
from tests.support.factories import make_api_key, make_domain
from tests.support.queue import enqueue
from webapp.core.models import (
    Base,
    Delivery,
    DeliveryAttempt,
    Domain,
    Event,
    FailedAttempt,
    Hook,
    HookDelivery,
    IdempotencyKey,
    Message,
    MessageSource,
    OneTimeLink,
    Refusal,
    utcnow,
)
from webapp.core.rules.events import EventName
from webapp.core.rules.statuses import Status
from webapp.core.services import events, hooks
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway
from webapp.core.services.housekeeping import Kept, purge


def count(gateway: Gateway, table: type[Base]) -> int:
    with gateway.database.session() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def purge_all(gateway: Gateway, *, batch: int) -> list[int]:
    bites = []
    while True:
        with gateway.database.session() as session:
            bites.append(purge(session, utcnow(), batch=batch))
        if not bites[-1]:
            return bites


def test_only_what_is_past_its_time_goes(gateway: Gateway) -> None:
    now = utcnow()
    message_id = enqueue(gateway)
    key_id, _ = make_api_key(gateway)
    with gateway.database.session() as session:
        for age in (timedelta(hours=23), timedelta(hours=25)):
            session.add(
                IdempotencyKey(
                    credential_id=key_id, key=str(age), digest=b"", message_id=message_id, created_at=now - age
                )
            )
        for days in (89, 91):
            at = now - timedelta(days=days)
            refusal = {"door": "smtp", "ip": "192.0.2.1", "code": "auth_failed", "cause": "wrong", "text": ""}
            session.add(Refusal(reference=f"REF{days}", at=at, **refusal))
            failure = {"kind": "smtp_user", "name": "x", "secret_digest": b"", "subject": "192.0.2.1"}
            session.add(FailedAttempt(at=at, spared=False, **failure))
        for minutes in (-1, 1):
            session.add(
                OneTimeLink(token_digest=bytes([minutes + 1]) * 32, expires_at=now + timedelta(minutes=minutes))
            )

    purge_all(gateway, batch=500)

    assert [count(gateway, table) for table in (IdempotencyKey, Refusal, FailedAttempt, OneTimeLink)] == [1, 1, 1, 1]


def test_a_batch_deletes_no_more_than_it_may(gateway: Gateway) -> None:
    old = utcnow() - timedelta(days=100)
    with gateway.database.session() as session:
        for number in range(25):
            refusal = {"door": "smtp", "ip": "192.0.2.1", "code": "x", "cause": "x", "text": "", "trace": {}}
            session.add(Refusal(reference=f"REF{number}", at=old, **refusal))

    assert purge_all(gateway, batch=10) == [10, 10, 5, 0]


def test_a_flood_of_refusals_does_not_fill_the_disk(gateway: Gateway) -> None:
    now = utcnow()
    with gateway.database.session() as session:
        for number in range(30):
            refusal = {"door": "smtp", "ip": "192.0.2.1", "code": "x", "cause": "x", "text": "", "trace": {}}
            session.add(Refusal(reference=f"REF{number:02}", at=now - timedelta(minutes=number), **refusal))

    with gateway.database.session() as session:
        assert [purge(session, now, batch=10, most_refusals=12) for _ in range(3)] == [10, 8, 0]
        assert sorted(session.scalars(select(Refusal.reference)))[-1] == "REF11"


def test_refusals_are_kept_as_long_as_an_owner_says(gateway: Gateway) -> None:
    now = utcnow()
    with gateway.database.session() as session:
        for days in (1, 3):
            refusal = {"door": "smtp", "ip": "192.0.2.1", "code": "x", "cause": "x", "text": "", "trace": {}}
            session.add(Refusal(reference=f"REF{days}", at=now - timedelta(days=days), **refusal))
        session.flush()
        assert purge(session, now, kept=Kept(refusals=timedelta(days=2))) == 1
        assert session.scalars(select(Refusal.reference)).all() == ["REF1"]


def test_events_go_after_a_month_and_deleted_hooks_at_once(gateway: Gateway) -> None:
    make_domain(gateway)
    message_id = enqueue(gateway)
    with gateway.database.session() as session:
        domain = session.query(Domain).one()
        make = {"domain": domain, "target_url": "https://hooks.example.net/x", "events": ["delivered"]}
        kept, _ = hooks.create(session, COMMAND_LINE, gateway.vault, name="Kept", **make)
        gone, _ = hooks.create(session, COMMAND_LINE, gateway.vault, name="Gone", **make)
        session.flush()
        for days in (29, 31):
            one = events.Happened(EventName.DELIVERED, domain.id, message_id, f"{days}@example.org")
            events.happened(session, [one], utcnow() - timedelta(days=days))
        sample = events.sample(EventName.DELIVERED, domain=domain.name, now=utcnow())
        hooks.send_test(session, COMMAND_LINE, kept, sample).created_at = utcnow() - timedelta(days=31)
        hooks.delete(session, COMMAND_LINE, gone)

    purge_all(gateway, batch=1)

    with gateway.database.session() as session:
        assert [event["recipient"] for event in events.latest(session, domain.id, limit=9)] == ["29@example.org"]
        assert session.scalars(select(Hook.name)).all() == ["Kept"]
    assert count(gateway, HookDelivery) == 1


def test_content_goes_first_then_messages_in_small_bites_and_nothing_that_waits(gateway: Gateway) -> None:
    ended = [enqueue(gateway, "ann@example.org", "bob@example.org") for _ in range(3)]
    settle(gateway, *[tried(id_, Status.DELIVERED, "Taken", 250) for id_ in ids(take(gateway))])
    waiting = enqueue(gateway)

    def left() -> list[int]:
        return [count(gateway, table) for table in (MessageSource, DeliveryAttempt, Delivery, Message)]

    def clean(now: datetime, kept: Kept) -> list[int]:
        bites = []
        while not bites or bites[-1]:
            with gateway.database.session() as session:
                bites.append(purge(session, now, batch=2, kept=kept))
        return bites

    later = utcnow() + timedelta(days=40)
    kept = Kept(content=timedelta(days=30), messages=timedelta(days=90))
    clean(utcnow(), kept)
    assert left() == [4, 6, 7, 4]
    clean(later, kept)
    assert left() == [1, 6, 7, 4]
    bites = clean(utcnow() + timedelta(days=100), kept)
    assert max(bites) == 2
    assert left() == [1, 0, 1, 1]
    with gateway.database.session() as session:
        assert session.get(Message, waiting) is not None
        assert session.get(Message, ended[0]) is None
        assert session.scalar(select(func.count()).select_from(Event).where(Event.message_id.in_(ended))) == 0
