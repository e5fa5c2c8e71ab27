"""Credentials: SMTP users and API keys, their secrets, and where they were used from."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.core.models.base import Base, BigKey, utcnow
from webapp.core.models.domain import Domain
from webapp.core.models.quota import Limited
from webapp.core.rules.api_keys import PREFIX

_LIVE = text("deleted_at IS NULL")


class CredentialRow(Limited, Base):
    """A log-in bound to one sending domain. The two kinds differ in their name and in how the secret is hashed.

    `name` is the SMTP username (lower case) or the API key's public id. Deleted rows stay, without their secrets.
    """

    __tablename__ = "credentials"
    __table_args__ = (
        Index(
            "uq_credentials_kind_name_live",
            "kind",
            "name",
            unique=True,
            sqlite_where=_LIVE,
            postgresql_where=_LIVE,
        ),
        Index("ix_credentials_domain_id_kind", "domain_id", "kind"),
    )
    __mapper_args__ = {"polymorphic_on": "kind"}

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    domain_id: Mapped[int] = mapped_column(ForeignKey("domains.id"))
    name: Mapped[str] = mapped_column(String(320))
    note: Mapped[str] = mapped_column(String(500), default="")
    allowed_networks: Mapped[list[str]] = mapped_column(JSON, default=list)
    expires_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    last_used_ip: Mapped[str | None] = mapped_column(String(45))
    dsn_on_failure: Mapped[bool] = mapped_column(default=True)  # of SMTP users: senders are told by mail what failed
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    domain: Mapped[Domain] = relationship(lazy="joined")
    secrets: Mapped[list[CredentialSecret]] = relationship(
        back_populates="credential",
        order_by="CredentialSecret.id.desc()",
        cascade="all, delete-orphan",
        lazy="selectin",
    )

    @property
    def label(self) -> str:
        """How people know it: the username, or how the key begins."""
        return self.name

    def state(self, now: datetime) -> str:
        """One of ``active``, ``disabled``, ``expired``, ``deleted``."""
        if self.deleted_at:
            return "deleted"
        if self.disabled_at:
            return "disabled"
        if self.expires_at and self.expires_at <= now:
            return "expired"
        return "active"


class SmtpUser(CredentialRow):
    """A username and password for SMTP submission."""

    __mapper_args__ = {"polymorphic_identity": "smtp_user"}


class ApiKeyRow(CredentialRow):
    """An API key; its `name` is the public half of ``pl_<id>_<secret>``."""

    __mapper_args__ = {"polymorphic_identity": "api_key"}

    @property
    def label(self) -> str:
        """The beginning of the key."""
        return PREFIX + self.name


class CredentialSecret(Base):
    """One secret of a credential: an argon2id hash (SMTP users) or a SHA-256 digest in hex (API keys).

    During a rotation there are two; the older has `expires_at`, the end of its grace period.
    """

    __tablename__ = "credential_secrets"

    id: Mapped[int] = mapped_column(primary_key=True)
    credential_id: Mapped[int] = mapped_column(ForeignKey("credentials.id", ondelete="CASCADE"), index=True)
    hash: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime | None]

    credential: Mapped[CredentialRow] = relationship(back_populates="secrets")


class CredentialUse(Base):
    """An address from which a secret was used, and when: one row an address and client name."""

    __tablename__ = "credential_uses"
    __table_args__ = (UniqueConstraint("credential_id", "secret_id", "ip", "client"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    credential_id: Mapped[int] = mapped_column(ForeignKey("credentials.id", ondelete="CASCADE"))
    secret_id: Mapped[int]  # no foreign key: uses outlive a rotated secret
    ip: Mapped[str] = mapped_column(String(45))
    client: Mapped[str] = mapped_column(String(100), default="")
    first_used_at: Mapped[datetime] = mapped_column(default=utcnow)
    last_used_at: Mapped[datetime] = mapped_column(default=utcnow)
