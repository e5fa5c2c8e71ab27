"""What is not kept for ever is deleted here, in batches so small that no writer waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from webapp.core.models import (
    AdminSession,
    Alert,
    BlocklistHit,
    Delivery,
    DeliveryAttempt,
    Event,
    FailedAttempt,
    Hook,
    HookDelivery,
    IdempotencyKey,
    KnownAddress,
    Lock,
    Message,
    MessageSource,
    OneTimeLink,
    Refusal,
    ReverseName,
    Task,
)
from webapp.core.rules.identifiers import first_event_id, first_message_id
from webapp.core.rules.locks import FAMILIAR_FOR, FORGIVEN_AFTER
from webapp.core.rules.statuses import FINAL
from webapp.core.services.acceptance import IDEMPOTENCY_KEPT
from webapp.core.services.events import EVENTS_KEPT
from webapp.core.services.tasks import TASKS_KEPT

#: How long other logs than the refusals are kept.
LOGS_KEPT = timedelta(days=90)
#: Refusals beyond so many go before their time, the oldest first: a flood of guesses must not fill the disk.
MOST_REFUSALS = 500_000
#: Rows that one transaction deletes at most.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Kept:
    """How long owners want to keep what is theirs to decide."""

    refusals: timedelta = LOGS_KEPT
    content: timedelta | None = None  # of mail; None: for ever
    messages: timedelta | None = None


_Key = tuple[InstrumentedAttribute[Any], ...]


def purge(
    session: Session,
    now: datetime,
    *,
    batch: int = BATCH,
    kept: Kept | None = None,
    most_refusals: int = MOST_REFUSALS,
) -> int:
    """Delete at most *batch* rows that are past their time. Return how many; 0 when nothing is left to do."""
    # Read before anything is locked for writing: it leafs through as many rows as may stay.
    surplus = session.scalar(select(Refusal.at).order_by(Refusal.at.desc()).offset(most_refusals).limit(1))
    kept = kept or Kept()
    oldest_refusal = max(now - kept.refusals, surplus or now - kept.refusals)
    for key, expired in (*_expired(now, oldest_refusal), *_expired_mail(now, kept)):
        oldest = select(*key).where(expired).limit(batch)
        gone = len(session.execute(delete(key[0].class_).where(tuple_(*key).in_(oldest)).returning(*key)).all())
        if gone:
            return gone
    return 0


def _expired(now: datetime, oldest_refusal: datetime) -> tuple[tuple[_Key, ColumnElement[bool]], ...]:
    """Each table's primary key, and which of its rows are past their time."""
    return (
        ((IdempotencyKey.credential_id, IdempotencyKey.key), IdempotencyKey.created_at <= now - IDEMPOTENCY_KEPT),
        ((OneTimeLink.token_digest,), OneTimeLink.expires_at <= now),
        ((AdminSession.token_digest,), AdminSession.expires_at <= now),
        ((Alert.id,), Alert.last_at <= now - LOGS_KEPT),
        ((Refusal.reference,), Refusal.at <= oldest_refusal),
        ((FailedAttempt.id,), FailedAttempt.at <= now - LOGS_KEPT),
        ((Lock.id,), Lock.locked_until <= now - FORGIVEN_AFTER),
        (
            (KnownAddress.kind, KnownAddress.owner_id, KnownAddress.subject),
            KnownAddress.succeeded_at <= now - FAMILIAR_FOR,
        ),
        ((Task.id,), Task.created_at <= now - TASKS_KEPT),
        ((Event.id,), Event.id < first_event_id(now - EVENTS_KEPT)),
        ((HookDelivery.id,), HookDelivery.event_id.is_(None) & (HookDelivery.created_at <= now - EVENTS_KEPT)),
        ((HookDelivery.id,), HookDelivery.hook_id.in_(select(Hook.id).where(Hook.deleted_at <= now))),
        ((Hook.id,), Hook.deleted_at <= now),
        ((ReverseName.ip,), ReverseName.wanted_at <= now - LOGS_KEPT),
        ((BlocklistHit.id,), BlocklistHit.last_at <= now - LOGS_KEPT),
    )


def _expired_mail(now: datetime, kept: Kept) -> Iterator[tuple[_Key, ColumnElement[bool]]]:
    """The same of mail that has come to its end. What hangs on a message goes before it, in batches of its own."""

    def ended(before: datetime) -> Select[str]:
        # Identifiers sort by time: their own index finds the old ones.
        return select(Message.id).where(Message.id < first_message_id(before), Message.status.in_(FINAL))

    if kept.content is not None:
        yield (MessageSource.message_id,), MessageSource.message_id.in_(ended(now - kept.content))
    if kept.messages is not None:
        old = ended(now - kept.messages)
        deliveries = select(Delivery.id).where(Delivery.message_id.in_(old))
        yield (Event.id,), Event.message_id.in_(old)
        yield (DeliveryAttempt.id,), DeliveryAttempt.delivery_id.in_(deliveries)
        yield (Delivery.id,), Delivery.message_id.in_(old)
        yield (MessageSource.message_id,), MessageSource.message_id.in_(old)
        yield (Message.id,), Message.id.in_(old)
