"""Failures that count, the locks they lead to, refusals with their references, and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.core.models.base import Base, BigKey, utcnow


class FailedAttempt(Base):
    """A failure that counts: a wrong secret or an unknown name, at any door, once a window.

    It is here for the locks alone. The log of all attempts, with whatever can be told of each, is `Refusal`. Never the
    secret itself: a keyed digest tells whether it is the same one.
    """

    __tablename__ = "failed_attempts"
    __table_args__ = (
        Index("ix_failed_attempts_subject_at", "subject", "at"),
        Index("ix_failed_attempts_kind_name_subject_at", "kind", "name", "subject", "at"),
        Index("ix_failed_attempts_kind_name_secret_digest_at", "kind", "name", "secret_digest", "at"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    kind: Mapped[str] = mapped_column(String(16))  # smtp_user, api_key or admin
    name: Mapped[str] = mapped_column(String(320))  # see `counted_name`
    secret_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    subject: Mapped[str] = mapped_column(String(49))  # where from: the address, or its IPv6 /64
    spared: Mapped[bool]  # the credential's own lock spares the address: it doesn't count there


class KnownAddress(Base):
    """An address from which a log-in succeeded, and when last: a guesser's lock doesn't shut it out."""

    __tablename__ = "known_addresses"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    owner_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # of the credential, or the person
    subject: Mapped[str] = mapped_column(String(49), primary_key=True)
    succeeded_at: Mapped[datetime] = mapped_column(index=True)


class Lock(Base):
    """A lock on an address, a credential, or a credential from an address. The row outlives the lock, for its level.

    `subject` is unique within the scope; `kind`, `login` and `address` are what it is made of.
    """

    __tablename__ = "locks"
    __table_args__ = (UniqueConstraint("scope", "subject"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(String(16))  # address, pair or credential
    subject: Mapped[str] = mapped_column(String(400))
    kind: Mapped[str | None] = mapped_column(String(16))
    login: Mapped[str | None] = mapped_column("name", String(320), index=True)
    address: Mapped[str | None] = mapped_column(String(49), index=True)
    level: Mapped[int]  # 0 for the first of a row of locks
    failures: Mapped[int]
    locked_at: Mapped[datetime]
    locked_until: Mapped[datetime] = mapped_column(index=True)
    cleared_at: Mapped[datetime | None]
    cleared_by: Mapped[str | None] = mapped_column(String(254))

    def __str__(self) -> str:
        if self.scope == "pair":
            return f"{self.login} from {self.address}"
        return self.login or self.subject


class Refusal(Base):
    """What was refused under a reference: the log of failed attempts, and of everything else that was refused."""

    __tablename__ = "refusals"
    __table_args__ = (Index("ix_refusals_credential_id_at", "credential_id", "at"),)

    reference: Mapped[str] = mapped_column(String(10), primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    door: Mapped[str] = mapped_column(String(8))
    ip: Mapped[str] = mapped_column(String(45), index=True)
    network: Mapped[str] = mapped_column(String(49), default="")  # the /24, or the /48 of IPv6, that the address is in
    client: Mapped[str] = mapped_column(String(255), default="")
    credential_id: Mapped[int | None]  # no foreign key: a log
    name: Mapped[str] = mapped_column(String(100), default="")
    code: Mapped[str] = mapped_column(String(40))
    cause: Mapped[str] = mapped_column(String(40))
    counted: Mapped[bool] = mapped_column(default=False)  # a failure that brought a lock nearer
    text: Mapped[str] = mapped_column(Text)
    trace: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class ReverseName(Base):
    """What the DNS calls an address (PTR): asked by the worker once a page has wanted it, null when it has no name."""

    __tablename__ = "reverse_names"

    ip: Mapped[str] = mapped_column(String(45), primary_key=True)
    name: Mapped[str | None] = mapped_column(String(255))
    wanted_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    found_at: Mapped[datetime | None]


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
