"""The audit log: who changed what, with secrets left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from webapp.core.models import AuditEntry

#: What stands in the log instead of a secret.
SECRET = "(secret)"  # noqa: S105 - the very opposite


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: an admin's address, or ``command line``; `ip` is where from."""

    name: str
    ip: str = ""


COMMAND_LINE = Actor("command line")


def record(session: Session, actor: Actor, action: str, row: Any, **changes: Any) -> None:
    """Add an entry for *row* (any table's), in the transaction that makes the change.

    *changes* are values, or pairs of old and new. The caller passes `SECRET` for what must not be told.
    """
    session.flush()  # a new row has its id from here on
    session.add(
        AuditEntry(
            actor=actor.name,
            ip=actor.ip,
            action=action,
            object_type=row.__tablename__.rstrip("s") if hasattr(row, "__tablename__") else type(row).__name__.lower(),
            object_id=str(getattr(row, "id", "")),
            label=str(getattr(row, "name", None) or row)[:320],
            changes=changes,
        )
    )
