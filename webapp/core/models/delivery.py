"""Deliveries: one row a recipient, and each attempt made for it. This table is the queue."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.core.models.base import Base, BigKey, utcnow

if TYPE_CHECKING:
    from webapp.core.models.message import Message

_FRESH = text("due_at IS NOT NULL AND attempts = 0")
_RETRY = text("due_at IS NOT NULL AND attempts > 0")

#: What an attempt has for its transport that was none: the server that had taken the mail reported that it failed.
REPORTED = "report"


class Delivery(Base):
    """One recipient of one message.

    `due_at` is when the worker may take it: now for a fresh one, later for a scheduled or deferred one, the end of
    the lease for one in a worker's hands. None when nothing is left to do.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        # One index for each of the worker's lanes: a pile of retries must not be leafed through to find new mail.
        Index("ix_deliveries_fresh", "due_at", sqlite_where=_FRESH, postgresql_where=_FRESH),
        Index("ix_deliveries_retry", "due_at", sqlite_where=_RETRY, postgresql_where=_RETRY),
        # People look an address up as they know it, not as it was typed when the mail was sent.
        Index("ix_deliveries_recipient_folded", text("lower(recipient)")),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    message_id: Mapped[str] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), index=True)
    recipient: Mapped[str] = mapped_column(String(320))
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None]
    lease: Mapped[str | None] = mapped_column(String(40))  # which worker holds it
    smtp_code: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)

    message: Mapped[Message] = relationship(back_populates="deliveries")
    tries: Mapped[list[DeliveryAttempt]] = relationship(back_populates="delivery", order_by="DeliveryAttempt.id")


class DeliveryAttempt(Base):
    """One try to hand a message to a server, and what the server said."""

    __tablename__ = "delivery_attempts"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("deliveries.id", ondelete="CASCADE"), index=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime] = mapped_column(default=utcnow)
    transport: Mapped[str] = mapped_column(String(16))
    host: Mapped[str] = mapped_column(String(255), default="")
    tls: Mapped[str | None] = mapped_column(String(100))
    outcome: Mapped[str] = mapped_column(String(16))
    smtp_code: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(Text)

    delivery: Mapped[Delivery] = relationship(back_populates="tries")
