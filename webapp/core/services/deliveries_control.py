"""What people may do to mail: try it now, hold it, release it, cancel it, send it again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webapp.core.models import Delivery, Message, MessageSource
from webapp.core.rules.identifiers import new_message_id
from webapp.core.rules.statuses import FINAL, Status
from webapp.core.services.deliveries import refresh_messages
from webapp.core.services.errors import ServiceError
from webapp.core.services.spool import spool

#: What can still be called back: one that a worker has in its hands can't, until it is deferred.
WAITING = frozenset({Status.SCHEDULED, Status.QUEUED, Status.DEFERRED, Status.HELD})

#: Changes some messages' deliveries as it says, and returns how many.
Control = Callable[[Session, Collection[str], datetime], int]


def retry_now(session: Session, message_ids: Collection[str], now: datetime) -> int:
    """Make deferred deliveries due at once. Return how many there were."""
    return _change(session, message_ids, {Status.DEFERRED}, {"due_at": now, "updated_at": now})


def cancel(session: Session, message_ids: Collection[str], now: datetime) -> int:
    """End what still waits. Return how many recipients it spared."""
    return _change(session, message_ids, WAITING, {"status": Status.CANCELLED, "due_at": None, "updated_at": now})


def hold(session: Session, message_ids: Collection[str], now: datetime) -> int:
    """Keep what waits from leaving until it is released. Return for how many recipients.

    What waits for its files (it has no time yet) can't be held: it would never be complete.
    """
    changes = {"status": Status.HELD, "due_at": None, "updated_at": now}
    return _change(session, message_ids, WAITING - {Status.HELD}, changes, Delivery.due_at.is_not(None))


def release(session: Session, message_ids: Collection[str], now: datetime) -> int:
    """Let held mail go on where it was: to its time if that is still to come, else to the queue. Return how many."""
    scheduled = select(Message.id).where(Message.id.in_(message_ids), Message.send_at > now)
    count = 0
    for send_at, id_ in session.execute(scheduled.with_only_columns(Message.send_at, Message.id)).all():
        count += _change(session, [id_], {Status.HELD}, {"status": Status.SCHEDULED, "due_at": send_at})
    tried = {"status": Status.DEFERRED, "due_at": now, "updated_at": now}
    count += _change(session, message_ids, {Status.HELD}, tried, Delivery.attempts > 0)
    fresh = {"status": Status.QUEUED, "due_at": now, "updated_at": now}
    return count + _change(session, message_ids, {Status.HELD}, fresh)


def recipients_again(message: Message) -> list[str]:
    """Whom *message* would be sent to again: those who didn't get it, or all if everybody did."""
    missed = [d.recipient for d in message.deliveries if d.status in FINAL - {Status.DELIVERED}]
    return missed or [d.recipient for d in message.deliveries if d.status == Status.DELIVERED]


def send_again(session: Session, message: Message, *, client_ip: str, captured: bool, now: datetime) -> str:
    """Queue a copy of *message* to `recipients_again`; return its id. Its ``Message-ID`` stays, so that it is one mail.

    Raise `ServiceError` when its content is no longer kept, its domain may not send now, or it still waits.
    """
    source = session.get(MessageSource, message.id)
    recipients = recipients_again(message)
    if source is None:
        raise ServiceError("The content of this message is no longer kept, so it can't be sent again.")
    if not recipients:
        raise ServiceError("This message is still on its way: wait until it has ended, or cancel it first.")
    if message.domain.deleted_at or not (captured or message.domain.may_send):
        raise ServiceError(f"{message.domain.name} may not send now: see Domains.")
    columns = [column.key for column in Message.__table__.columns if column.key != "metadata"]
    row = {name: getattr(message, name) for name in columns}
    row |= {
        "id": new_message_id(now),
        "metadata": message.details,
        "status": Status.QUEUED,
        "captured": captured,
        "door": "panel",
        "client_ip": client_ip,
        "client": f"again: {message.id}",
        "send_at": None,
        "created_at": now,
    }
    spool(session, row, source.source, recipients, due_at=now, now=now)
    return str(row["id"])


def _change(
    session: Session, message_ids: Collection[str], only: Collection[Status], changes: dict[str, Any], *also: Any
) -> int:
    """Change the deliveries that have a status of *only*; the database decides who was first."""
    theirs = (Delivery.message_id.in_(message_ids), Delivery.status.in_(only), *also)
    # In the order in which everyone locks rows; SQLite has no need.
    ordered = select(Delivery.id).where(*theirs).order_by(Delivery.id)
    ids = session.scalars(ordered.with_for_update(key_share=True)).all()
    changed: list[str] = []
    for start in range(0, len(ids), 1000):
        changed += session.scalars(
            update(Delivery)
            .where(Delivery.id.in_(ids[start : start + 1000]), Delivery.status.in_(only), *also)
            .values(**changes)
            .returning(Delivery.message_id)
            .execution_options(synchronize_session=False)
        ).all()
    refresh_messages(session, changed)
    return len(changed)
