"""What the panel asks the worker to do now: a test message, a check."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.core.models.base import Base, BigKey, utcnow

_OPEN = text("ended_at IS NULL")


class Task(Base):
    """One thing to do. `result` holds what its page shows, while it runs and once it is done.

    While it runs, `lease` names the worker process that does it, until `lease_until` unless that says so again.
    """

    __tablename__ = "tasks"
    __table_args__ = (Index("ix_tasks_open", "id", sqlite_where=_OPEN, postgresql_where=_OPEN),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    args: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # never a secret
    state: Mapped[str] = mapped_column(String(8), default="queued")  # queued, running, done, failed
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str | None] = mapped_column(String(500))  # why it failed: a sentence for the page
    requested_by: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    lease: Mapped[str | None] = mapped_column(String(40))
    lease_until: Mapped[datetime | None]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"
