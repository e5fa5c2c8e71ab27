"""Sending domains."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.core.models.base import Base, utcnow
from webapp.core.models.quota import Limited


class Domain(Limited, Base):
    """A domain that mail is sent from. Deleted ones stay, for the history that names them."""

    __tablename__ = "domains"
    __table_args__ = (
        Index(
            "uq_domains_name_live",
            "name",
            unique=True,
            sqlite_where=text("deleted_at IS NULL"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(253))
    ownership_token: Mapped[str] = mapped_column(String(64))
    verified_at: Mapped[datetime | None]
    checked_at: Mapped[datetime | None]
    lost_at: Mapped[datetime | None]  # since when a verified one's ownership record is gone; grace runs from here
    vouched_at: Mapped[datetime | None]
    vouched_by: Mapped[str | None] = mapped_column(String(254))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    deleted_at: Mapped[datetime | None]

    @property
    def may_send(self) -> bool:
        """Whether mail may leave this server from it: its TXT record was found, or an owner vouches."""
        return self.verified_at is not None or self.vouched_at is not None

    def __str__(self) -> str:
        return self.name
