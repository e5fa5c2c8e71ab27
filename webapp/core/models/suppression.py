"""Addresses that get no more mail from a domain, and those that are on their way there."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.core.models.base import Base, utcnow
from webapp.core.models.domain import Domain


class Suppression(Base):
    """One address of one domain's recipients. Without `since` it is only watched: its soft bounces are counted."""

    __tablename__ = "suppressions"
    __table_args__ = (UniqueConstraint("domain_id", "email"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    domain_id: Mapped[int] = mapped_column(ForeignKey("domains.id"))
    email: Mapped[str] = mapped_column(String(320))  # lower case
    kind: Mapped[str] = mapped_column(String(8))  # hard, soft or manual
    reason: Mapped[str] = mapped_column(Text, default="")
    soft_bounces: Mapped[int] = mapped_column(default=0)
    message_id: Mapped[str | None] = mapped_column(String(40))  # no foreign key: messages go sooner
    since: Mapped[datetime | None] = mapped_column(index=True)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)

    domain: Mapped[Domain] = relationship(lazy="joined")

    def __str__(self) -> str:
        return self.email
