"""The spool: how a message gets into the queue, whoever brings it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from webapp.core.models import Base
from webapp.core.rules.events import EventName
from webapp.core.rules.linked_files import LinkedFile
from webapp.core.services.events import Happened, happened

# Inserts of the tables, not of the mapped classes: acceptance pays half for these.
_MESSAGES, _SOURCES, _UNFINISHED, _DELIVERIES = (
    Base.metadata.tables[name] for name in ("messages", "message_sources", "unfinished_messages", "deliveries")
)


def spool(
    session: Session,
    message: Mapping[str, Any],
    source: bytes,
    recipients: Sequence[str],
    *,
    due_at: datetime,
    now: datetime,
    links: Sequence[LinkedFile] = (),
    told: bool = True,
) -> None:
    """Put *message* (a row's columns) with its *source* in the queue, due at *due_at*; the caller commits.

    With *links* it waits instead: nobody may send it before those files are in its source. Its acceptance is an event,
    unless it is not *told*: what this server writes to its owners concerns no program.
    """
    id_, status = message["id"], message["status"]
    session.execute(insert(_MESSAGES), [dict(message)])
    kept: dict[str, Any] = {"message_id": id_, "source": source}
    if links:
        session.execute(
            insert(_UNFINISHED), [kept | {"links": [x.as_dict() for x in links], "tries": 0, "due_at": now}]
        )
    else:
        session.execute(insert(_SOURCES), [kept])
    session.execute(
        insert(_DELIVERIES),
        [
            {
                "message_id": id_,
                "recipient": r,
                "status": status,
                "due_at": None if links else due_at,
                "updated_at": now,
            }
            for r in recipients
        ],
    )
    if told:
        happened(session, [Happened(EventName.ACCEPTED, message["domain_id"], id_, r) for r in recipients], now)
