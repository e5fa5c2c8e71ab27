"""Mail that this server writes itself: it has no credential, and goes the way of all other mail from here on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from sqlalchemy.orm import Session

from webapp.core.models import Domain
from webapp.core.rules.identifiers import new_message_id
from webapp.core.rules.message import prepare
from webapp.core.rules.statuses import Status
from webapp.core.services.spool import spool

DOOR = "system"


def queue_notice(
    session: Session,
    source: bytes,
    *,
    domain: Domain,
    envelope_from: str,
    recipients: Sequence[str],
    hostname: str,
    captured: bool,
    now: datetime,
) -> str:
    """Queue *source*, a message in the name of *domain*; return its id. The caller commits.

    *envelope_from* may be the null sender, for what nothing must answer (RFC 5321 section 4.5.5).
    Raise `Refused` when *source* is not what a user of that domain could send.
    """
    new_id = new_message_id(now)
    prepared = prepare(
        source,
        domain=domain.name,
        received=f"by {hostname} id {new_id}; {format_datetime(now)}",
        message_id_host=domain.name,
        now=now,
        new_id=new_id,
        smtputf8=True,
    )
    _queue(
        session,
        prepared.source,
        recipients,
        now,
        id=new_id,
        domain_id=domain.id,
        captured=captured,
        envelope_from=envelope_from,
        from_email=prepared.from_email,
        subject=prepared.subject,
        message_id=prepared.message_id,
        eight_bit=prepared.eight_bit,
        smtputf8=prepared.utf8_headers or not all(map(str.isascii, (envelope_from, *recipients))),
    )
    return new_id


def queue_composed(
    session: Session,
    source: bytes,
    *,
    new_id: str,
    domain_id: int,
    from_email: str,
    to: str,
    subject: str,
    message_id: str,
    now: datetime,
) -> None:
    """Queue *source*, a whole message in this server's own name, as *new_id* from the null sender; the caller commits.

    It takes the way that mail of the domain takes.
    """
    ascii_head = source.partition(b"\r\n\r\n")[0].isascii()
    _queue(
        session,
        source,
        [to],
        now,
        id=new_id,
        domain_id=domain_id,
        captured=False,
        envelope_from="",
        from_email=from_email,
        subject=subject,
        message_id=message_id,
        eight_bit=not source.isascii(),
        smtputf8=not (ascii_head and to.isascii()),
    )


def _queue(session: Session, source: bytes, recipients: Sequence[str], now: datetime, **columns: Any) -> None:
    row = columns | {
        "credential_id": None,
        "status": Status.QUEUED,
        "door": DOOR,
        "client_ip": "",
        "client": "",
        "tag": None,
        "metadata": {},
        "size": len(source),
        "send_at": None,
        "created_at": now,
    }
    spool(session, row, source, recipients, due_at=now, now=now, told=False)
