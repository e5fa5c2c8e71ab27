"""Hooks: addresses that are told of a domain's events, and the queue of what they are still to be told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.core.models.base import Base, BigKey, utcnow
from webapp.core.models.credential import ApiKeyRow
from webapp.core.models.domain import Domain

#: The states of a hook. A removed one has said itself (HTTP 410) that it is gone.
ACTIVE, PAUSED, REMOVED = "active", "paused", "removed"
#: The states of what a hook is to be told.
WAITING, DONE, FAILED = "waiting", "delivered", "failed"

_BY_ITSELF = text("due_at IS NOT NULL AND NOT by_hand")
_BY_HAND = text("due_at IS NOT NULL AND by_hand")


class Hook(Base):
    """Where a domain's events go. One that an API key made pauses with its key; the panel's belong to the domain.

    `secret` and `old_secret` (during a rotation) are encrypted. `troubled` marks a state that nobody here chose.
    """

    __tablename__ = "hooks"

    id: Mapped[int] = mapped_column(primary_key=True)
    domain_id: Mapped[int] = mapped_column(ForeignKey("domains.id"), index=True)
    credential_id: Mapped[int | None] = mapped_column(ForeignKey("credentials.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    target_url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]] = mapped_column(JSON)
    secret: Mapped[str] = mapped_column(Text)
    old_secret: Mapped[str | None] = mapped_column(Text)
    old_secret_until: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(String(8), default=ACTIVE)
    state_since: Mapped[datetime] = mapped_column(default=utcnow)
    state_reason: Mapped[str] = mapped_column(Text, default="")
    troubled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    deleted_at: Mapped[datetime | None] = mapped_column(index=True)

    domain: Mapped[Domain] = relationship(lazy="joined")
    credential: Mapped[ApiKeyRow | None] = relationship(lazy="joined")

    def __str__(self) -> str:
        return self.name


class HookDelivery(Base):
    """One event for one hook.

    `due_at` is when the worker may take it: now, its next try, or the end of the lease while it is in a worker's
    hands; None when nothing is left to do. What somebody asked for `by_hand` is tried once, also for a paused hook.
    A test has no event, but its `sample`.
    """

    __tablename__ = "hook_deliveries"
    __table_args__ = (
        Index("ix_hook_deliveries_hook_id_id", "hook_id", "id"),
        Index("ix_hook_deliveries_due", "hook_id", "due_at", sqlite_where=_BY_ITSELF, postgresql_where=_BY_ITSELF),
        Index("ix_hook_deliveries_by_hand", "hook_id", "due_at", sqlite_where=_BY_HAND, postgresql_where=_BY_HAND),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    hook_id: Mapped[int] = mapped_column(ForeignKey("hooks.id", ondelete="CASCADE"))
    event_id: Mapped[str | None] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"), index=True)
    sample: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    status: Mapped[str] = mapped_column(String(10), default=WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    by_hand: Mapped[bool] = mapped_column(default=False)
    due_at: Mapped[datetime | None]
    lease: Mapped[str | None] = mapped_column(String(40))  # which worker holds it
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    hook: Mapped[Hook] = relationship()


class HookAttempt(Base):
    """One POST to a hook, and what came back."""

    __tablename__ = "hook_attempts"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("hook_deliveries.id", ondelete="CASCADE"), index=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    by_hand: Mapped[bool] = mapped_column(default=False)
    outcome: Mapped[str] = mapped_column(String(10))  # delivered or failed
    status_code: Mapped[int | None]
    reason: Mapped[str] = mapped_column(Text, default="")
    request: Mapped[str] = mapped_column(Text)  # its head and body, as they were sent
    response: Mapped[str] = mapped_column(Text, default="")  # the beginning of it
