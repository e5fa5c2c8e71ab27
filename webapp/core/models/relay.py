"""Relays of single domains; the one for all others is a preference."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.core.models.base import Base, utcnow


class DomainRelay(Base):
    """The relay through which one domain's mail leaves. `url` is a `RelayTarget`'s, encrypted with the app's key."""

    __tablename__ = "domain_relays"

    domain_id: Mapped[int] = mapped_column(ForeignKey("domains.id", ondelete="CASCADE"), primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)
