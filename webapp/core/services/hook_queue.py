"""The queue of hooks: what is due is claimed under a lease, posted by the worker, and its outcome recorded.

It is asked hook by hook, so that a pile for a dead one is never leafed through to find what another waits for.
A lease is the row's `lease` and `due_at`, as in `deliveries`; nobody renews it, since no POST takes that long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, insert, literal_column, select, update
from sqlalchemy.orm import Session

from webapp.core.database import begin_write
from webapp.core.models import Hook, HookAttempt, HookDelivery
from webapp.core.models.hook import DONE, FAILED, PAUSED, REMOVED, WAITING
from webapp.core.rules.duration import format_duration
from webapp.core.rules.retry import given_up, next_delay
from webapp.core.services import hooks
from webapp.core.services.events import payloads
from webapp.core.services.outcomes import RetryPolicy

#: How long a lease lasts.
LEASE = timedelta(seconds=30)
#: Events are given up after this, or sooner if mail is.
MAX_AGE = timedelta(days=3)

# Written out, so that both databases see which partial index fits.
_BY_HAND: ColumnElement[bool] = literal_column("hook_deliveries.by_hand")
_BY_ITSELF: ColumnElement[bool] = literal_column("NOT hook_deliveries.by_hand")


class Ready(NamedTuple):
    """A hook with something due: asked for by a person, or by itself."""

    hook_id: int
    by_hand: bool
    by_itself: bool


@dataclass(frozen=True, slots=True)
class Posting:
    """What is to be posted where. `secrets` are encrypted, the newest first; `payload` is None for what is gone."""

    delivery_id: int
    hook_id: int
    target_url: str
    secrets: tuple[str, ...]
    payload: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Posted:
    """What came of one POST. `gone` says that the receiver answered 410; `retry_after` is what it asked for."""

    delivery_id: int
    hook_id: int
    ok: bool
    started_at: datetime
    ended_at: datetime
    request: str
    status_code: int | None = None
    reason: str = ""
    response: str = ""
    gone: bool = False
    retry_after: timedelta | None = None


class _Held(NamedTuple):
    id: int
    attempts: int
    by_hand: bool
    created_at: datetime
    event_id: str | None


def ready(session: Session, now: datetime) -> list[Ready]:
    """The hooks for which something is due. A look at an index each, however much waits."""

    def due(lane: ColumnElement[bool]) -> ColumnElement[bool]:
        rows = select(HookDelivery.id).where(HookDelivery.hook_id == Hook.id, HookDelivery.due_at <= now, lane)
        return rows.exists()

    query = select(Hook.id, due(_BY_HAND), and_(hooks.listening(now), due(_BY_ITSELF))).where(Hook.deleted_at.is_(None))
    return [Ready(*row) for row in session.execute(query) if row[1] or row[2]]


def claim(session: Session, wanted: Mapping[int, tuple[int, int]], *, lease: str, now: datetime) -> list[Posting]:
    """Take what is due for the hooks *wanted*: hook id -> how many asked for by hand, and by itself, at most."""
    begin_write(session)
    ids: list[int] = []
    for hook_id, limits in sorted(wanted.items()):
        for lane, limit in zip((_BY_HAND, _BY_ITSELF), limits, strict=True):
            due = select(HookDelivery.id).where(HookDelivery.hook_id == hook_id, HookDelivery.due_at <= now, lane)
            due = due.order_by(HookDelivery.due_at, HookDelivery.id).limit(limit)
            ids += session.scalars(due.with_for_update(skip_locked=True, key_share=True)) if limit else []
    if not ids:
        return []
    taken = session.execute(
        update(HookDelivery)
        .where(HookDelivery.id.in_(ids))
        .values(lease=lease, due_at=now + LEASE)
        .returning(HookDelivery.id, HookDelivery.hook_id, HookDelivery.event_id, HookDelivery.sample)
        .execution_options(synchronize_session=False)
    ).all()
    found = payloads(session, {row.event_id for row in taken if row.event_id})
    targets = {hook.id: hook for hook in session.scalars(select(Hook).where(Hook.id.in_({r.hook_id for r in taken})))}
    return [
        Posting(
            delivery_id=row.id,
            hook_id=row.hook_id,
            target_url=targets[row.hook_id].target_url,
            secrets=_secrets(targets[row.hook_id], now),
            payload=row.sample or found.get(row.event_id),
        )
        for row in sorted(taken)
    ]


def release(session: Session, *, lease: str, now: datetime) -> None:
    """Give back all that *lease* holds: any worker may take it at once."""
    session.execute(
        update(HookDelivery)
        .where(HookDelivery.lease == lease, HookDelivery.due_at.is_not(None))
        .values(lease=None, due_at=now)
        .execution_options(synchronize_session=False)
    )


def record(session: Session, posted: Sequence[Posted], *, lease: str, policy: RetryPolicy, now: datetime) -> None:
    """Write what came of POSTs: done, tried again later, or given up, which pauses the hook.

    What *lease* no longer holds is left alone. A try by hand pauses nothing, and a test is tried only once.
    """
    held = _let_go(session, lease, [one.delivery_id for one in posted])
    mine = [(held[one.delivery_id], one) for one in posted if one.delivery_id in held]
    if not mine:
        return
    max_age = min(MAX_AGE, policy.max_age)
    stopped: dict[int, str] = {}
    rows = []
    for row, one in mine:
        status, due_at = DONE if one.ok else FAILED, None
        if not (one.ok or one.gone or row.event_id is None):
            if given_up(now - row.created_at, max_age):
                if not row.by_hand:
                    stopped[one.hook_id] = one.reason
            else:
                delay = one.retry_after or next_delay(row.attempts + 1, policy.first, random=policy.random())
                status, due_at = WAITING, min(now + delay, row.created_at + max_age)
        rows.append({"id": row.id, "status": status, "due_at": due_at, "attempts": row.attempts + 1, "by_hand": False})
    session.execute(update(HookDelivery), rows)
    session.execute(insert(HookAttempt), [_attempt(row, one) for row, one in mine])
    for hook_id, reason in stopped.items():
        because = f"an event could not be delivered for {format_duration(max_age)}; the last answer was: {reason}"
        hooks.stop(session, [hook_id], state=PAUSED, reason=because, now=now)
    for hook_id in sorted({one.hook_id for _, one in mine if one.gone}):
        hooks.stop(session, [hook_id], state=REMOVED, reason="its receiver said that it is gone (410)", now=now)
        hooks.give_up_waiting(session, hook_id)


def _let_go(session: Session, lease: str, ids: Sequence[int]) -> dict[int, _Held]:
    """End *lease* on those of *ids* that it still holds, and give them as they stood."""
    rows = session.execute(
        update(HookDelivery)
        .where(HookDelivery.id.in_(ids), HookDelivery.lease == lease)
        .values(lease=None)
        .returning(
            HookDelivery.id,
            HookDelivery.attempts,
            HookDelivery.by_hand,
            HookDelivery.created_at,
            HookDelivery.event_id,
        )
        .execution_options(synchronize_session=False)
    )
    return {row.id: _Held(*row) for row in rows}


def _attempt(row: _Held, one: Posted) -> dict[str, object]:
    return {
        "delivery_id": one.delivery_id,
        "started_at": one.started_at,
        "ended_at": one.ended_at,
        "by_hand": row.by_hand,
        "outcome": DONE if one.ok else FAILED,
        "status_code": one.status_code,
        "reason": one.reason,
        "request": one.request,
        "response": one.response,
    }


def _secrets(hook: Hook, now: datetime) -> tuple[str, ...]:
    """Those that sign now: during a rotation two."""
    if hook.old_secret and hook.old_secret_until and hook.old_secret_until > now:
        return hook.secret, hook.old_secret
    return (hook.secret,)
