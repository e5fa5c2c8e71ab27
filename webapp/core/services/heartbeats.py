"""Signs of life: which processes are at work, as the readiness page and the doctor need to know."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from webapp.core.models import Heartbeat

#: How often a process says that it is at work, in seconds.
BEAT_SECONDS = 2.0
#: A process that was silent for longer counts as gone.
SILENCE = timedelta(seconds=10)


def beat(session: Session, process: str, now: datetime) -> None:
    """Say that *process* (``submission``, ``worker``) is at work at *now*."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(Heartbeat).values(process=process, seen_at=now)
    session.execute(statement.on_conflict_do_update(index_elements=["process"], set_={"seen_at": now}))


def alive(session: Session, now: datetime) -> dict[str, bool]:
    """Every process that was ever seen, and whether it has been within the last `SILENCE`."""
    rows = session.execute(select(Heartbeat.process, Heartbeat.seen_at))
    return {process: now - seen_at <= SILENCE for process, seen_at in rows}
