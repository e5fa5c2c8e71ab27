"""The queue: deliveries that are due are claimed under a lease, tried, and their outcomes recorded.

A lease is the row's `lease` (who holds it) and `due_at` (when it ends). Its holder renews it while it works; when
the holder is killed it ends by itself, and the next claim takes the row over. Whoever records an outcome must still
hold the lease, so that a worker that was thought dead can't overwrite what its successor did.

Rows are locked in one order everywhere, deliveries before messages, each by id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import random
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, case, insert, literal_column, select, update
from sqlalchemy.orm import Session

from webapp.core.models import Delivery, DeliveryAttempt, Message, MessageSource
from webapp.core.rules.bounces import SOFT_BOUNCES, BounceType, classify
from webapp.core.rules.duration import format_duration
from webapp.core.rules.events import OF_STATUS, EventName
from webapp.core.rules.retry import given_up, next_delay
from webapp.core.rules.statuses import Status, message_status
from webapp.core.services import notices, suppressions
from webapp.core.services.events import Happened, happened

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


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one try went about it. `host` is ``host:port``; `tls` names the version and the certificate's verdict."""

    transport: str
    started_at: datetime
    ended_at: datetime
    host: str = ""
    tls: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one delivery: `status` is delivered, deferred, bounced, failed or captured.

    Without an *attempt* no try was made: a captured one, or one put off until *not_before* because its destination
    is known to be down. `reason` is the server's answer without its code, or ours.
    """

    delivery_id: int
    status: Status
    reason: str | None = None
    smtp_code: int | None = None
    attempt: Attempt | None = None
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a deferred delivery is tried again, and for how long; how many soft bounces in a row suppress an address.

    `random` gives the jitter, from 0 to 1.
    """

    first: timedelta
    max_age: timedelta
    soft_bounces: int = SOFT_BOUNCES
    random: Callable[[], float] = field(default=random)


class _Held(NamedTuple):
    """A delivery as it stands, since when its message was due to leave, and the message's domain and door."""

    id: int
    message_id: str
    recipient: str
    attempts: int
    smtp_code: int | None
    reason: str | None
    queued_at: datetime
    domain_id: int
    door: str


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
    _lock(session, lease, ids)
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


def record(
    session: Session, outcomes: Sequence[Outcome], *, lease: str, policy: RetryPolicy, now: datetime
) -> set[int]:
    """Write *outcomes*, their attempts and the messages' statuses. Return the ids that *lease* still held.

    A deferred one gets its next try, or fails once it is older than the policy's age. What the lease no longer
    holds is left alone: it is another worker's.
    """
    held = {row.id: row for row in _let_go(session, lease, [outcome.delivery_id for outcome in outcomes])}
    rows, tries, told, given_up_on = [], [], [], []
    delays: dict[tuple[str, int], timedelta] = {}
    for outcome in outcomes:
        row = held.get(outcome.delivery_id)
        if row is None:
            continue
        attempts = row.attempts + (outcome.attempt is not None)
        same = (row.message_id, attempts)  # recipients of a message wait together, to share its next transaction
        if same not in delays:
            delays[same] = next_delay(max(attempts, 1), policy.first, random=policy.random())
        settled = _settled(row, outcome, attempts=attempts, delay=delays[same], policy=policy, now=now)
        rows.append(settled)
        told += _events(row, outcome, settled)
        if outcome.status == Status.DEFERRED != settled["status"] and outcome.smtp_code:
            given_up_on.append((row, settled["reason"]))
        if outcome.attempt:
            tries.append(_attempt_row(outcome, outcome.attempt))
    if rows:
        session.execute(update(Delivery), rows)
    if tries:
        session.execute(insert(DeliveryAttempt), tries)
    _note_addresses(session, told, given_up_on, policy, now)
    ours = {row.message_id for row in held.values() if row.door == notices.DOOR}  # no program's business
    happened(session, (one for one in told if one.message_id not in ours), now)
    refresh_messages(session, {row.message_id for row in held.values()})
    return set(held)


def _lock(session: Session, lease: str, ids: Collection[int]) -> None:
    """Lock the rows in the order in which everyone does. SQLite has no need: its first write locks all."""
    held = select(Delivery.id).where(Delivery.id.in_(ids), Delivery.lease == lease)
    session.execute(held.order_by(Delivery.id).with_for_update(key_share=True))


def _let_go(session: Session, lease: str, ids: Collection[int]) -> Iterable[_Held]:
    """End *lease* on those of *ids* that it still holds, and give them as they stood."""
    _lock(session, lease, ids)
    rows = session.execute(
        update(Delivery)
        .where(Delivery.id.in_(ids), Delivery.lease == lease)
        .values(lease=None)
        .returning(
            Delivery.id,
            Delivery.message_id,
            Delivery.recipient,
            Delivery.attempts,
            Delivery.smtp_code,
            Delivery.reason,
        )
        .execution_options(synchronize_session=False)
    ).all()
    asked = select(Message.id, Message.created_at, Message.send_at, Message.domain_id, Message.door)
    asked = asked.where(Message.id.in_({row.message_id for row in rows}))
    of = {m.id: (max(m.created_at, m.send_at or m.created_at), m.domain_id, m.door) for m in session.execute(asked)}
    return (_Held(*row, *of[row.message_id]) for row in rows)


def _settled(
    row: _Held, outcome: Outcome, *, attempts: int, delay: timedelta, policy: RetryPolicy, now: datetime
) -> dict[str, Any]:
    """The delivery's new columns."""
    status, due_at = outcome.status, None
    reason = outcome.reason or row.reason
    smtp_code = outcome.smtp_code if outcome.attempt else row.smtp_code
    if status == Status.DEFERRED:
        if attempts == 0:  # put off before its first try
            status = Status.QUEUED
        if given_up(now - row.queued_at, policy.max_age):
            status = Status.FAILED
            reason = f"Gave up after {format_duration(policy.max_age)}; the last answer was: {reason}"
        else:
            # The last try comes when the age is reached, not a long delay after it.
            due_at = min(outcome.not_before or now + delay, row.queued_at + policy.max_age)
    return {
        "id": row.id,
        "status": status,
        "attempts": attempts,
        "due_at": due_at,
        "smtp_code": smtp_code,
        "reason": reason,
        "updated_at": now,
    }


def _events(row: _Held, outcome: Outcome, settled: dict[str, Any]) -> list[Happened]:
    """What is told of it: nothing of one that was only put off again without a try, or captured."""
    name = OF_STATUS.get(settled["status"])
    if name is None or (name == EventName.DEFERRED and outcome.attempt is None):
        return []
    code, reason = settled["smtp_code"], settled["reason"]
    kind = classify(code, reason or "") if name == EventName.BOUNCED else None
    return [
        Happened(name, row.domain_id, row.message_id, row.recipient, smtp_code=code, reason=reason, bounce_type=kind)
    ]


def _note_addresses(
    session: Session,
    told: Iterable[Happened],
    given_up_on: Iterable[tuple[_Held, str]],
    policy: RetryPolicy,
    now: datetime,
) -> None:
    """Keep the suppression lists: what bounced, what its server kept putting off, and what took mail."""
    refused: list[tuple[int, str, BounceType, str, str]] = [
        (row.domain_id, row.recipient, "soft", reason, row.message_id) for row, reason in given_up_on
    ]
    refused += [(x.domain_id, x.recipient, x.bounce_type, x.reason or "", x.message_id) for x in told if x.bounce_type]
    for domain_id, recipient, kind, reason, message_id in refused:
        key = suppressions.Key.of(domain_id, recipient)
        suppressions.bounced(session, key, kind, reason, message_id=message_id, now=now, soft_limit=policy.soft_bounces)
    took = [suppressions.Key.of(x.domain_id, x.recipient) for x in told if x.event == EventName.DELIVERED]
    suppressions.forgive(session, took)


def _attempt_row(outcome: Outcome, attempt: Attempt) -> dict[str, object]:
    return {
        "delivery_id": outcome.delivery_id,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "transport": attempt.transport,
        "host": attempt.host,
        "tls": attempt.tls,
        "outcome": outcome.status,
        "smtp_code": outcome.smtp_code,
        "reason": outcome.reason,
    }


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
