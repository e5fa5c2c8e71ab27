"""Events: written in the transaction that changes the state, queued for the hooks that want them, and read back.

`_flat` is the one shape that hooks deliver and ``GET /v1/events`` lists.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from webapp.core.models import Base, CredentialRow, Domain, Event, Message, SmtpUser
from webapp.core.models.hook import WAITING
from webapp.core.rules.bounces import BounceType
from webapp.core.rules.events import EventName
from webapp.core.rules.identifiers import new_event_id
from webapp.core.services.hooks import listeners

# Inserts of the tables, not of the mapped classes: acceptance pays half for these.
_EVENTS, _QUEUE = (Base.metadata.tables[name] for name in ("events", "hook_deliveries"))

#: How long events, and what hooks were told of them, are kept.
EVENTS_KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that happened to one recipient's mail. `bounce_type` is hard, soft or block, for a bounce."""

    event: EventName
    domain_id: int
    message_id: str
    recipient: str
    smtp_code: int | None = None
    reason: str | None = None
    bounce_type: BounceType | None = None


def happened(session: Session, events: Iterable[Happened], now: datetime) -> None:
    """Write *events* down, and queue them for the hooks of their domains."""
    _write(
        session,
        [
            {
                "event": one.event,
                "domain_id": one.domain_id,
                "message_id": one.message_id,
                "recipient": one.recipient,
                "smtp_code": one.smtp_code,
                "reason": one.reason,
                "bounce_type": one.bounce_type,
            }
            for one in events
        ],
        now,
    )


def credential_locked(session: Session, *, username: str, ip: str | None, reason: str, now: datetime) -> None:
    """Tell that the log-in of the SMTP user *username* was locked; nothing for a name that nobody has.

    *reason* is a sentence; *ip* the address whose attempt led to the lock.
    """
    user = session.scalar(select(SmtpUser).where(SmtpUser.name == username, SmtpUser.deleted_at.is_(None)))
    if user is not None:
        event: dict[str, Any] = {"event": EventName.CREDENTIAL_LOCKED, "domain_id": user.domain_id}
        _write(session, [event | {"credential_id": user.id, "ip": ip, "reason": reason}], now)


def latest(
    session: Session, domain_id: int, *, limit: int, names: Collection[str] = tuple(EventName)
) -> list[dict[str, Any]]:
    """The newest events of a domain, newest first, as a hook would get them."""
    ids: list[str] = []
    for name in names:  # each a short walk down the index, however rare its kind is among the others
        mine = select(Event.id).where(Event.domain_id == domain_id, Event.event == name)
        ids += session.scalars(mine.order_by(Event.id.desc()).limit(limit))
    newest = sorted(ids, reverse=True)[:limit]
    found = payloads(session, newest)
    return [found[id_] for id_ in newest]


def payloads(session: Session, ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """The events *ids* as hooks get them, those that there are."""
    return {row[0].id: _flat(*row) for row in session.execute(_whole().where(Event.id.in_(ids)))}


def sample(name: EventName, *, domain: str, now: datetime) -> dict[str, Any]:
    """An event as it might be, to try a hook with."""
    event = Event(id=new_event_id(now), event=name, occurred_at=now)
    if name == EventName.CREDENTIAL_LOCKED:
        event.ip, event.reason = "203.0.113.7", "This is a test: nothing was locked."
        return _flat(event, domain, None, None, None, None, "smtp_user", f"printer@{domain}", "A test")
    event.message_id, event.recipient = "msg_00000000000000000000000000", "jane@example.com"
    if name == EventName.DELIVERED:
        event.smtp_code, event.reason = 250, "2.0.0 Ok (a test)"
    elif name == EventName.DEFERRED:
        event.smtp_code, event.reason = 451, "4.7.1 Try again later (a test)"
    elif name == EventName.BOUNCED:
        event.smtp_code, event.reason, event.bounce_type = 550, "5.1.1 No such user (a test)", "hard"
    elif name == EventName.FAILED:
        event.reason = "Gave up after 5 days (a test)"
    details = {"test": "true"}
    return _flat(event, domain, f"shop@{domain}", "A test of your webhook", "test", details, None, None, None)


def _write(session: Session, rows: Sequence[dict[str, Any]], now: datetime) -> None:
    if not rows:
        return
    events = [row | {"id": new_event_id(now), "occurred_at": now} for row in rows]
    session.execute(insert(_EVENTS), events)
    queued = [
        {"hook_id": hook_id, "event_id": event["id"], "status": WAITING, "due_at": now, "created_at": now}
        for event in events
        for hook_id, wanted in listeners(session, event["domain_id"], now)
        if event["event"] in wanted
    ]
    if queued:
        session.execute(insert(_QUEUE), queued)


def _whole() -> Any:
    """An event with what its message, its domain and its credential say, as `_flat` takes it."""
    return (
        select(
            Event,
            Domain.name,
            Message.from_email,
            Message.subject,
            Message.tag,
            Message.details,
            CredentialRow.kind,
            CredentialRow.name,
            CredentialRow.note,
        )
        .join(Domain, Domain.id == Event.domain_id)
        .outerjoin(Message, Message.id == Event.message_id)
        .outerjoin(CredentialRow, CredentialRow.id == Event.credential_id)
    )


def _flat(  # noqa: PLR0917 - the columns of `_whole`, in their order
    event: Event,
    domain: str,
    from_email: str | None,
    subject: str | None,
    tag: str | None,
    details: dict[str, str] | None,
    credential_type: str | None,
    credential_name: str | None,
    credential_note: str | None,
) -> dict[str, Any]:
    """All keys, always: no-code tools offer as fields what the first event had."""
    return {
        "id": event.id,
        "event": str(event.event),
        "occurred_at": event.occurred_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "message_id": event.message_id,
        "domain": domain,
        "from_email": from_email,
        "recipient": event.recipient,
        "subject": subject,
        "tag": tag,
        "bounce_type": event.bounce_type,
        "smtp_code": event.smtp_code,
        "reason": event.reason,
        "metadata_json": json.dumps(details, ensure_ascii=False) if details else None,
        "credential_type": credential_type,
        "credential_name": credential_name,
        "credential_note": credential_note,
        "ip": event.ip,
    }
