"""Events: what became of mail and log-ins, as programs are told it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.core.models.base import Base


class Event(Base):
    """One thing that happened to one recipient's mail, or to one credential.

    What the message says of itself is read from it, so that an event weighs little; it goes with its message.
    """

    __tablename__ = "events"
    # Lists are asked for by domain and kind; one of all kinds is merged from the kinds' newest.
    __table_args__ = (Index("ix_events_domain_id_event_id", "domain_id", "event", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)  # sorts by time
    event: Mapped[str] = mapped_column(String(20))
    occurred_at: Mapped[datetime]
    domain_id: Mapped[int] = mapped_column(ForeignKey("domains.id"))
    message_id: Mapped[str | None] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), index=True)
    recipient: Mapped[str | None] = mapped_column(String(320))
    bounce_type: Mapped[str | None] = mapped_column(String(8))  # hard, soft or block
    smtp_code: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(Text)
    credential_id: Mapped[int | None] = mapped_column(ForeignKey("credentials.id"))
    ip: Mapped[str | None] = mapped_column(String(45))
