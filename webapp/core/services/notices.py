"""Mail that this server writes itself: it has no credential, and goes the way of all other mail from here on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime

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
    row = {
        "id": new_id,
        "domain_id": domain.id,
        "credential_id": None,
        "status": Status.QUEUED,
        "captured": captured,
        "door": DOOR,
        "client_ip": "",
        "client": "",
        "envelope_from": envelope_from,
        "from_email": prepared.from_email,
        "subject": prepared.subject,
        "message_id": prepared.message_id,
        "tag": None,
        "metadata": {},
        "size": len(prepared.source),
        "eight_bit": prepared.eight_bit,
        "smtputf8": prepared.utf8_headers or not all(map(str.isascii, (envelope_from, *recipients))),
        "send_at": None,
        "created_at": now,
    }
    spool(session, row, prepared.source, recipients, due_at=now, now=now, told=False)
    return new_id
