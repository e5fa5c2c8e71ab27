"""People who may open the panel, their sessions, and the one-time links that set a password."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.core.models.base import Base, utcnow


class Admin(Base):
    """A person. `role` is ``owner`` (all), ``manager`` (domains and credentials) or ``viewer`` (looks only)."""

    __tablename__ = "admins"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)  # lower case
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str | None] = mapped_column(String(255))
    disabled_at: Mapped[datetime | None]
    last_login_at: Mapped[datetime | None]
    alerts_seen_at: Mapped[datetime | None]  # up to when the bell was read
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    def __str__(self) -> str:
        return self.email


class AdminSession(Base):
    """A log-in that lives on the server, so that logging out ends it. Only a digest of the cookie's token is kept."""

    __tablename__ = "admin_sessions"

    token_digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    admin_id: Mapped[int] = mapped_column(ForeignKey("admins.id", ondelete="CASCADE"), index=True)
    ip: Mapped[str] = mapped_column(String(45))
    user_agent: Mapped[str] = mapped_column(String(255), default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    last_seen_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]

    admin: Mapped[Admin] = relationship(lazy="joined")


class OneTimeLink(Base):
    """A link that lets its holder choose a password once. Without an admin it is the first start's setup link."""

    __tablename__ = "one_time_links"

    token_digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    admin_id: Mapped[int | None] = mapped_column(ForeignKey("admins.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]
