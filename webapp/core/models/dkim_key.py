"""DKIM keys of sending domains."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.core.models.base import Base, utcnow


class DkimKey(Base):
    """One key of a domain, and its life: made, signing once its record was found, replaced, retired.

    It signs from `signs_since` until `replaced_at`. Its record must stay in the DNS until `retired_at`: mail that it
    signed may still be on its way.
    """

    __tablename__ = "dkim_keys"
    __table_args__ = (UniqueConstraint("domain_id", "selector"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    domain_id: Mapped[int] = mapped_column(ForeignKey("domains.id"))
    selector: Mapped[str] = mapped_column(String(63))
    algorithm: Mapped[str] = mapped_column(String(16))  # rsa or ed25519
    private_key: Mapped[str] = mapped_column(Text)  # PEM, encrypted with the app's key
    public_key: Mapped[str] = mapped_column(Text)  # base64, as the record has it
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    signs_since: Mapped[datetime | None]
    replaced_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]

    @property
    def signs(self) -> bool:
        """Whether mail is signed with it now."""
        return self.signs_since is not None and self.replaced_at is None

    def __str__(self) -> str:
        return self.selector
