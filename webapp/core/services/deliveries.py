"""The queue: deliveries that are due are claimed under a lease, and given back; `outcomes` has what became of them.

A lease is the row's `lease` (who holds it) and `due_at` (when it ends). Its holder renews it while it works; when
the holder is killed it ends by itself, and the next claim takes the row over.

Rows are locked in one order everywhere, deliveries before messages, each by id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, case, literal_column, select, update
from sqlalchemy.orm import Session

from webapp.core.models import Delivery, Message, MessageSource
from webapp.core.rules.statuses import Status, message_status
from webapp.core.services import suppressions

#: How long a lease lasts, and how often its holder renews it.
LEASE = timedelta(seconds=30)
RENEW_EVERY = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Claimed:
    """One message with those of its recipients that were claimed together: delivery id -> address.

    `suppressed` are those among them that must get no mail, and why.
    """

    message_id: str
    domain_id: int
    envelope_from: str
    captured: bool
    size: int
    eight_bit: bool
    smtputf8: bool
    recipients: Mapping[int, str]
    suppressed: Mapping[int, str] = field(default_factory=dict)


def claim(
    session: Session, *, lease: str, now: datetime, limit: int, fresh: bool, newest_first: bool = False
) -> list[Claimed]:
    """Take up to *limit* due deliveries under *lease* until `LEASE` from *now*, grouped by message.

    *fresh* ones were never tried; the others were. Those that wait longest come first, or last. Two workers never get
    the same one.
    """
    due = _due(now, fresh=fresh, newest_first=newest_first).limit(limit)
    if session.get_bind().dialect.name == "sqlite":
        # Ask before taking the write lock: the queue is mostly empty, and asked several times a second.
        if session.scalar(due.limit(1)) is None:
            return []
        wanted = Delivery.id.in_(due)
    else:
        ids = session.scalars(due.with_for_update(skip_locked=True, key_share=True)).all()
        if not ids:
            return []
        wanted = Delivery.id.in_(ids)
    taken = session.execute(
        update(Delivery)
        .where(wanted)
        .values(status=Status.DELIVERING, lease=lease, due_at=now + LEASE, updated_at=now)
        .returning(Delivery.id, Delivery.message_id, Delivery.recipient)
        .execution_options(synchronize_session=False)
    ).all()
    recipients: dict[str, dict[int, str]] = defaultdict(dict)
    for delivery_id, message_id, recipient in sorted(taken):
        recipients[message_id][delivery_id] = recipient
    refresh_messages(session, recipients)
    return _with_messages(session, recipients)


def _due(now: datetime, *, fresh: bool, newest_first: bool) -> Select[int]:
    # Not a bound parameter, so that PostgreSQL's planner sees that the lane's partial index fits.
    none: ColumnElement[int] = literal_column("0")
    lane = Delivery.attempts == none if fresh else Delivery.attempts > none
    due = select(Delivery.id).where(Delivery.due_at <= now, lane)
    if newest_first:
        return due.order_by(Delivery.due_at.desc(), Delivery.id.desc())
    return due.order_by(Delivery.due_at, Delivery.id)


def _with_messages(session: Session, recipients: Mapping[str, Mapping[int, str]]) -> list[Claimed]:
    rows = session.execute(
        select(
            Message.id,
            Message.domain_id,
            Message.envelope_from,
            Message.captured,
            Message.size,
            Message.eight_bit,
            Message.smtputf8,
            Message.domain_id,
        )
        .where(Message.id.in_(recipients))
        .order_by(Message.id)
    ).all()
    keys = {
        delivery_id: suppressions.Key.of(row.domain_id, recipient)
        for row in rows
        for delivery_id, recipient in recipients[row.id].items()
    }
    found = suppressions.among(session, keys.values())
    return [
        Claimed(
            *row[:-1],
            recipients=recipients[row.id],
            suppressed={id_: found[keys[id_]] for id_ in recipients[row.id] if keys[id_] in found},
        )
        for row in rows
    ]


def renew(session: Session, *, lease: str, ids: Collection[int], now: datetime) -> set[int]:
    """Prolong *lease* on *ids* until `LEASE` from *now*. Return those that it still held."""
    lock(session, lease, ids)
    return set(
        session.scalars(
            update(Delivery)
            .where(Delivery.id.in_(ids), Delivery.lease == lease)
            .values(due_at=now + LEASE)
            .returning(Delivery.id)
            .execution_options(synchronize_session=False)
        )
    )


def release(session: Session, *, lease: str, now: datetime, ids: Collection[int] | None = None) -> int:
    """Give back what *lease* holds, or only *ids* of it, untried: any worker may take it at once. Return how many."""
    mine = [Delivery.lease == lease]
    if ids is not None:
        mine.append(Delivery.id.in_(ids))
    messages = session.scalars(
        update(Delivery)
        .where(*mine)
        .values(
            status=case((Delivery.attempts == 0, Status.QUEUED), else_=Status.DEFERRED),
            lease=None,
            due_at=now,
            updated_at=now,
        )
        .returning(Delivery.message_id)
        .execution_options(synchronize_session=False)
    ).all()
    refresh_messages(session, messages)
    return len(messages)


def load_source(session: Session, message_id: str) -> bytes | None:
    """The message's octets as they are sent, or None when they are no longer kept."""
    return session.scalar(select(MessageSource.source).where(MessageSource.message_id == message_id))


def lock(session: Session, lease: str, ids: Collection[int]) -> None:
    """Lock the rows in the order in which everyone does. SQLite has no need: its first write locks all."""
    held = select(Delivery.id).where(Delivery.id.in_(ids), Delivery.lease == lease)
    session.execute(held.order_by(Delivery.id).with_for_update(key_share=True))


def refresh_messages(session: Session, message_ids: Iterable[str]) -> None:
    """Bring `messages.status` up to date with the deliveries. The last thing a transaction writes about them."""
    ids = sorted(set(message_ids))
    if not ids:
        return
    # Foreign keys hold the weaker lock on it already (FOR KEY SHARE): a full one here could deadlock with another's.
    session.execute(select(Message.id).where(Message.id.in_(ids)).order_by(Message.id).with_for_update(key_share=True))
    statuses: dict[str, set[Status]] = defaultdict(set)
    for message_id, status in session.execute(
        select(Delivery.message_id, Delivery.status).where(Delivery.message_id.in_(ids)).distinct()
    ):
        statuses[message_id].add(Status(status))
    changed: dict[Status, list[str]] = defaultdict(list)
    for message_id, found in statuses.items():
        changed[message_status(found)].append(message_id)
    for status, those in changed.items():
        session.execute(
            update(Message)
            .where(Message.id.in_(those), Message.status != status)
            .values(status=status)
            .execution_options(synchronize_session=False)
        )
