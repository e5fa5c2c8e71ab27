"""Mail that another server took and could not deliver: its report changes what we thought had become of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from webapp.core.models import Delivery, DeliveryAttempt, Message
from webapp.core.models.delivery import REPORTED
from webapp.core.rules.bounces import classify
from webapp.core.rules.delivery_report import Report, Verdict
from webapp.core.rules.events import EventName
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.statuses import Status
from webapp.core.services import notices, suppressions
from webapp.core.services.deliveries import refresh_messages
from webapp.core.services.events import Happened, happened
from webapp.core.services.failure_notices import tell_senders
from webapp.core.services.return_paths import ReturnPath

#: What a report can still change. A deferred one may have been taken all the same, before its connection broke.
_OPEN = frozenset({Status.DELIVERED, Status.DEFERRED})


def take_report(
    session: Session, path: ReturnPath, report: Report, *, hostname: str, soft_limit: int, now: datetime
) -> int:
    """Let what *report* calls failed bounce; return how many deliveries. The same report again changes nothing.

    *soft_limit* soft bounces in a row suppress an address.

    Raise ``Refused(STORAGE)`` while one of them is in a worker's hands: the report came before its answer was
    recorded, and is to come again.
    """
    failed = _failed(session, path, report)
    if not failed:
        return 0
    # In the order in which everyone locks rows; SQLite has no need.
    locked = select(Delivery.id, Delivery.recipient, Delivery.status, Message.domain_id, Message.door)
    locked = locked.join(Message, Message.id == Delivery.message_id).where(Delivery.id.in_(failed))
    rows = session.execute(locked.order_by(Delivery.id).with_for_update(of=Delivery, key_share=True)).all()
    if any(row.status == Status.DELIVERING for row in rows):
        raise Refused(Reason.STORAGE, cause="delivery_in_hand")
    rows = [row for row in rows if row.status in _OPEN]
    if not rows:
        return 0
    session.execute(update(Delivery), [_bounced(row.id, failed[row.id], now) for row in rows])
    session.execute(insert(DeliveryAttempt), [_attempt(row.id, failed[row.id], report, now) for row in rows])
    for row in rows:
        verdict, key = failed[row.id], suppressions.Key.of(row.domain_id, row.recipient)
        kind = classify(verdict.code, verdict.reason)
        before = _bounced_before(session, row, soft_limit) if kind == "soft" else 0
        suppressions.bounced(
            session,
            key,
            kind,
            verdict.reason,
            message_id=path.message_id,
            now=now,
            soft_limit=soft_limit,
            before=before,
        )
        if row.door != notices.DOOR:  # else it is no program's business
            happened(
                session,
                [
                    Happened(
                        event=EventName.BOUNCED,
                        domain_id=row.domain_id,
                        message_id=path.message_id,
                        recipient=row.recipient,
                        smtp_code=verdict.code,
                        reason=verdict.reason,
                        bounce_type=kind,
                    )
                ],
                now,
            )
    tell_senders(session, [row.id for row in rows], hostname=hostname, now=now)
    refresh_messages(session, [path.message_id])
    return len(rows)


def _failed(session: Session, path: ReturnPath, report: Report) -> Mapping[int, Verdict]:
    """Those deliveries that the report can be about and says failed."""
    query = select(Delivery.id, Delivery.recipient).where(Delivery.message_id == path.message_id)
    if path.delivery_id is not None:
        query = query.where(Delivery.id == path.delivery_id)
    rows = session.execute(query).all()
    said = {row.id: report.on(row.recipient, alone=len(rows) == 1) for row in rows}
    return {id_: verdict for id_, verdict in said.items() if verdict and verdict.failed}


def _bounced_before(session: Session, row: Any, most: int) -> int:
    """How many mails to the same recipient bounced in a row right before this one; no more than *most* are counted.

    Each of them was taken at first, which made the suppression list forget those before it.
    """
    query = (
        select(Delivery.status, Delivery.smtp_code, Delivery.reason)
        .join(Message, Message.id == Delivery.message_id)
        .where(
            Delivery.recipient == row.recipient,
            Message.domain_id == row.domain_id,
            Delivery.id < row.id,
            Delivery.status.in_((Status.DELIVERED, Status.BOUNCED)),
        )
        .order_by(Delivery.id.desc())
        .limit(most)
    )
    count = 0
    for status, code, reason in session.execute(query):
        if status == Status.DELIVERED or classify(code, reason or "") == "block":
            break
        count += 1
    return count


def _bounced(id_: int, verdict: Verdict, now: datetime) -> dict[str, object]:
    return {
        "id": id_,
        "status": Status.BOUNCED,
        "due_at": None,
        "smtp_code": verdict.code,
        "reason": verdict.reason,
        "updated_at": now,
    }


def _attempt(id_: int, verdict: Verdict, report: Report, now: datetime) -> dict[str, object]:
    return {
        "delivery_id": id_,
        "started_at": now,
        "ended_at": now,
        "transport": REPORTED,
        "host": report.reporter,
        "outcome": Status.BOUNCED,
        "smtp_code": verdict.code,
        "reason": verdict.reason,
    }
