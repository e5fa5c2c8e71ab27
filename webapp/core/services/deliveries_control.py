"""What people may do to mail that waits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from webapp.core.models import Delivery
from webapp.core.rules.statuses import Status
from webapp.core.services.deliveries import refresh_messages


def retry_now(session: Session, message_id: str, now: datetime) -> int:
    """Make the message's deferred deliveries due at once. Return how many there were."""
    return _change(session, message_id, {Status.DEFERRED}, {"due_at": now, "updated_at": now})


def cancel(session: Session, message_id: str, now: datetime) -> int:
    """End what still waits for its time, its turn or its next try. Return how many recipients it spared.

    One that a worker has in its hands can't be called back; once deferred, it can.
    """
    waiting = {Status.SCHEDULED, Status.QUEUED, Status.DEFERRED, Status.HELD}
    changes = {"status": Status.CANCELLED, "due_at": None, "updated_at": now}
    return _change(session, message_id, waiting, changes)


def _change(session: Session, message_id: str, only: set[Status], changes: dict[str, Any]) -> int:
    """Change the message's deliveries that have a status of *only*; the database decides who was first."""
    changed = session.scalars(
        update(Delivery)
        .where(Delivery.message_id == message_id, Delivery.status.in_(only))
        .values(**changes)
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    ).all()
    if changed:
        refresh_messages(session, [message_id])
    return len(changed)
