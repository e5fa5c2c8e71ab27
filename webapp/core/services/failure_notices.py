"""Who handed mail over by SMTP is told by mail what of it finally failed, as mail servers do (RFC 5321 section 6.1).

Programs that use the API or webhooks hear of it there. A notice is written in the transaction that records the
failure: there is one for every failure, and none twice.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary, func, select
from sqlalchemy.orm import Session

from webapp.core.models import CredentialRow, Delivery, DeliveryAttempt, Message, MessageSource
from webapp.core.rules.failure_notice import LONGEST_HEAD, FailedRecipient, FailureNotice, compose_failure_notice
from webapp.core.rules.identifiers import new_message_id
from webapp.core.rules.statuses import Status
from webapp.core.services.notices import queue_composed

_HOST = re.compile(r"[^\[\]:]+")  # of ``mx.example.org[192.0.2.1]:25``


def tell_senders(session: Session, delivery_ids: Collection[int], *, hostname: str, now: datetime) -> list[str]:
    """Queue a notice to the sender of each message of which some of *delivery_ids* have just failed or bounced.

    It goes to the envelope sender as the client gave it, from the null sender, so that nothing answers it
    (RFC 3461 section 6.1). Nobody is told of mail that came by another door, of this server's own notices among it,
    nor senders whose user has it switched off. Return the notices' ids; the caller commits.
    """
    failed = _failed(session, delivery_ids)
    attempts = _last_attempts(session, [row.id for rows in failed.values() for row in rows])
    queued = []
    for message_id, rows in failed.items():
        first = rows[0]
        notice = FailureNotice(
            to=first.envelope_from,
            hostname=hostname,
            recipients=[_recipient(row, attempts.get(row.id)) for row in rows],
            subject=first.subject,
            message_id=first.message_id,
            accepted_at=first.created_at,
            head=_head(session, message_id),
        )
        new_id = new_message_id(now)
        mail_id = f"<{new_id}@{hostname}>"
        queue_composed(
            session,
            compose_failure_notice(notice, new_message_id=mail_id, now=now),
            new_id=new_id,
            domain_id=first.domain_id,
            from_email=notice.sender,
            to=notice.to,
            subject=notice.title,
            message_id=mail_id,
            now=now,
        )
        queued.append(new_id)
    return queued


def _failed(session: Session, delivery_ids: Collection[int]) -> dict[str, list[Any]]:
    """Those of *delivery_ids* whose sender is to be told, by message."""
    if not delivery_ids:
        return {}
    rows = session.execute(
        select(
            Delivery.id,
            Delivery.recipient,
            Delivery.smtp_code,
            Delivery.reason,
            Message.id.label("of"),
            Message.domain_id,
            Message.envelope_from,
            Message.subject,
            Message.message_id,
            Message.created_at,
        )
        .join(Message, Message.id == Delivery.message_id)
        .join(CredentialRow, CredentialRow.id == Message.credential_id)
        .where(
            Delivery.id.in_(delivery_ids),
            Delivery.status.in_((Status.BOUNCED, Status.FAILED)),
            Message.door == "smtp",
            Message.envelope_from != "",
            Message.captured.is_(False),
            CredentialRow.dsn_on_failure.is_(True),
        )
        .order_by(Delivery.id)
    )
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.of].append(row)
    return found


def _last_attempts(session: Session, delivery_ids: Collection[int]) -> dict[int, DeliveryAttempt]:
    if not delivery_ids:
        return {}
    last = select(func.max(DeliveryAttempt.id)).where(DeliveryAttempt.delivery_id.in_(delivery_ids))
    query = select(DeliveryAttempt).where(DeliveryAttempt.id.in_(last.group_by(DeliveryAttempt.delivery_id)))
    return {attempt.delivery_id: attempt for attempt in session.scalars(query)}


def _recipient(row: Any, attempt: DeliveryAttempt | None) -> FailedRecipient:
    if attempt is None:
        return FailedRecipient(row.recipient, row.reason or "", row.smtp_code)
    host = _HOST.match(attempt.host)
    return FailedRecipient(
        email=row.recipient,
        reason=row.reason or "",
        code=row.smtp_code,
        answer=attempt.reason,
        host=host[0] if host else "",
        tried_at=attempt.ended_at,
    )


def _head(session: Session, message_id: str) -> bytes | None:
    """How the message begins; it may be large."""
    head = func.substr(MessageSource.source, 1, LONGEST_HEAD, type_=LargeBinary)
    return session.scalar(select(head).where(MessageSource.message_id == message_id))
