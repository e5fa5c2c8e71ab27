"""What people should hear of: the bell in the panel, and the digest that owners get by mail."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.core.models.base import Base, BigKey, utcnow


class Alert(Base):
    """One thing that happened, several times perhaps, or one state that lasts until `ended_at`.

    `subject` says what it is about (an address, a credential's name, a zone): alike alerts share a row.
    """

    __tablename__ = "alerts"
    __table_args__ = (Index("ix_alerts_kind_subject_last_at", "kind", "subject", "last_at"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(320))
    domain_id: Mapped[int | None] = mapped_column(ForeignKey("domains.id"))
    text: Mapped[str] = mapped_column(Text)
    times: Mapped[int] = mapped_column(default=1)
    first_at: Mapped[datetime] = mapped_column(default=utcnow)
    last_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    ended_at: Mapped[datetime | None]
    mailed_at: Mapped[datetime | None]  # None: the next digest tells it

    def __str__(self) -> str:
        return self.text
