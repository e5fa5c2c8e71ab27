"""Limits on what may be sent, and the counters behind them."""

from __future__ import annotations

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.core.models.base import Base
from webapp.core.rules.quotas import Limits


class Limited:
    """Mixed into what may have limits. None is no limit."""

    messages_per_hour: Mapped[int | None]
    messages_per_day: Mapped[int | None]
    recipients_per_message: Mapped[int | None]

    @property
    def limits(self) -> Limits:
        """The limits as the rules take them."""
        return Limits(self.messages_per_hour, self.messages_per_day, self.recipients_per_message)


class SendCounter(Base):
    """What a credential or a domain with a limit has sent lately, as `rules.quotas.Tally`."""

    __tablename__ = "send_counters"

    owner: Mapped[str] = mapped_column(String(16), primary_key=True)  # credential or domain
    owner_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hour: Mapped[list[list[int]]] = mapped_column(JSON, default=list)
    day: Mapped[list[list[int]]] = mapped_column(JSON, default=list)
