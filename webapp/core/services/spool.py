"""The spool: how a message gets into the queue, whoever brings it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from webapp.core.models import Base
from webapp.core.rules.events import EventName
from webapp.core.services.events import Happened, happened

# Inserts of the tables, not of the mapped classes: acceptance pays half for these.
_MESSAGES, _SOURCES, _DELIVERIES = (
    Base.metadata.tables[name] for name in ("messages", "message_sources", "deliveries")
)


def spool(
    session: Session,
    message: Mapping[str, Any],
    source: bytes,
    recipients: Sequence[str],
    *,
    due_at: datetime,
    now: datetime,
    told: bool = True,
) -> None:
    """Put *message* (a row's columns) with its *source* in the queue, due at *due_at*; the caller commits.

    Its acceptance is an event, unless it is not *told*: what this server writes to its owners concerns no program.
    """
    id_, status = message["id"], message["status"]
    session.execute(insert(_MESSAGES), [dict(message)])
    session.execute(insert(_SOURCES), [{"message_id": id_, "source": source}])
    session.execute(
        insert(_DELIVERIES),
        [
            {"message_id": id_, "recipient": r, "status": status, "due_at": due_at, "updated_at": now}
            for r in recipients
        ],
    )
    if told:
        happened(session, [Happened(EventName.ACCEPTED, message["domain_id"], id_, r) for r in recipients], now)
