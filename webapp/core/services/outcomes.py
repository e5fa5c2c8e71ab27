"""What became of claimed deliveries: written down with its attempts, its events and its next try.

Whoever records an outcome must still hold the lease, so that a worker that was thought dead can't overwrite what its
successor did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import random
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from webapp.core.models import Delivery, DeliveryAttempt, Message
from webapp.core.rules.bounces import SOFT_BOUNCES, BounceType, classify
from webapp.core.rules.duration import format_duration
from webapp.core.rules.events import OF_STATUS, EventName
from webapp.core.rules.retry import given_up, next_delay
from webapp.core.rules.statuses import Status
from webapp.core.services import notices, suppressions
from webapp.core.services.deliveries import lock, refresh_messages
from webapp.core.services.events import Happened, happened


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
        if outcome.status == Status.DEFERRED and settled["status"] == Status.FAILED and outcome.smtp_code:
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


def _let_go(session: Session, lease: str, ids: Collection[int]) -> Iterable[_Held]:
    """End *lease* on those of *ids* that it still holds, and give them as they stood."""
    lock(session, lease, ids)
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
