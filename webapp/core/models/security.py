"""Failed attempts, the locks they lead to, refusals with their references, and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.core.models.base import Base, BigKey, utcnow


class FailedAttempt(Base):
    """A wrong secret or an unknown name, at any door.

    Never the secret itself: a keyed digest tells whether it is the same one.
    """

    __tablename__ = "failed_attempts"
    __table_args__ = (
        Index("ix_failed_attempts_subject_at", "subject", "at"),
        Index("ix_failed_attempts_name_digest_at", "kind", "name", "secret_digest", "at"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    door: Mapped[str] = mapped_column(String(8))
    kind: Mapped[str] = mapped_column(String(16))  # smtp_user, api_key or admin
    name: Mapped[str] = mapped_column(String(100))  # as typed, made printable, shortened
    secret_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    ip: Mapped[str] = mapped_column(String(45))
    subject: Mapped[str] = mapped_column(String(49))  # what is locked: the address, or its IPv6 /64
    cause: Mapped[str] = mapped_column(String(40))
    client: Mapped[str] = mapped_column(String(255), default="")
    reference: Mapped[str | None] = mapped_column(String(10))
    counted: Mapped[bool]  # false for the same wrong secret again within the window


class Lock(Base):
    """A lock on an address, a credential, or a credential from an address. The row outlives the lock, for its level."""

    __tablename__ = "locks"
    __table_args__ = (UniqueConstraint("scope", "subject"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(String(16))  # address, pair or credential
    subject: Mapped[str] = mapped_column(String(400))
    level: Mapped[int]  # 0 for the first of a row of locks
    failures: Mapped[int]
    locked_at: Mapped[datetime]
    locked_until: Mapped[datetime] = mapped_column(index=True)
    cleared_at: Mapped[datetime | None]
    cleared_by: Mapped[str | None] = mapped_column(String(254))

    def __str__(self) -> str:
        return self.subject


class Refusal(Base):
    """What was refused under a reference, for the trace page."""

    __tablename__ = "refusals"

    reference: Mapped[str] = mapped_column(String(10), primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    door: Mapped[str] = mapped_column(String(8))
    ip: Mapped[str] = mapped_column(String(45), index=True)
    client: Mapped[str] = mapped_column(String(255), default="")
    credential_id: Mapped[int | None] = mapped_column(index=True)  # no foreign key: a log
    name: Mapped[str] = mapped_column(String(100), default="")
    code: Mapped[str] = mapped_column(String(40))
    cause: Mapped[str] = mapped_column(String(40))
    text: Mapped[str] = mapped_column(Text)
    trace: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class AuditEntry(Base):
    """Who changed what. `changes` maps a field to its old and new value; secrets read ``(secret)``."""

    __tablename__ = "audit_log"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    actor: Mapped[str] = mapped_column(String(254))
    ip: Mapped[str] = mapped_column(String(45), default="")
    action: Mapped[str] = mapped_column(String(40))
    object_type: Mapped[str] = mapped_column(String(40))
    object_id: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(320))
    changes: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
