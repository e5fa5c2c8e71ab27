"""Messages, their source, and the idempotency keys that brought them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.core.models.base import Base, utcnow
from webapp.core.models.credential import CredentialRow
from webapp.core.models.delivery import Delivery
from webapp.core.models.domain import Domain


class Message(Base):
    """One accepted message. `status` follows its deliveries; the transaction that changes one brings it up to date."""

    __tablename__ = "messages"
    __table_args__ = (
        Index("ix_messages_domain_id_id", "domain_id", "id"),
        Index("ix_messages_status_id", "status", "id"),
        Index("ix_messages_credential_id_id", "credential_id", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)  # sorts by time
    domain_id: Mapped[int] = mapped_column(ForeignKey("domains.id"))
    credential_id: Mapped[int | None] = mapped_column(ForeignKey("credentials.id"))
    status: Mapped[str] = mapped_column(String(16))
    captured: Mapped[bool]  # taken in while nothing left this server: never sent by itself
    door: Mapped[str] = mapped_column(String(8))
    client_ip: Mapped[str] = mapped_column(String(45))
    client: Mapped[str] = mapped_column(String(255), default="")
    envelope_from: Mapped[str] = mapped_column(String(320))
    from_email: Mapped[str] = mapped_column(String(320), index=True)
    subject: Mapped[str] = mapped_column(Text, default="")
    message_id: Mapped[str] = mapped_column(String(998), default="")
    tag: Mapped[str | None] = mapped_column(String(100))
    details: Mapped[dict[str, str]] = mapped_column("metadata", JSON, default=dict)
    size: Mapped[int]  # octets of the source
    eight_bit: Mapped[bool]  # the source has octets above 127 (RFC 6152)
    smtputf8: Mapped[bool]  # headers or addresses outside ASCII (RFC 6531)
    send_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)

    domain: Mapped[Domain] = relationship(lazy="joined")
    credential: Mapped[CredentialRow | None] = relationship()
    deliveries: Mapped[list[Delivery]] = relationship(back_populates="message", order_by="Delivery.id")

    def __str__(self) -> str:
        return self.id


class MessageSource(Base):
    """The message as it is sent: CRLF line ends, no Bcc. Apart, because lists never need it."""

    __tablename__ = "message_sources"

    message_id: Mapped[str] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True)
    source: Mapped[bytes] = mapped_column(LargeBinary)


class IdempotencyKey(Base):
    """A key a client chose, so that its retries bring one message. The primary key makes ten parallel retries safe."""

    __tablename__ = "idempotency_keys"

    credential_id: Mapped[int] = mapped_column(ForeignKey("credentials.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(256), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    message_id: Mapped[str] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
