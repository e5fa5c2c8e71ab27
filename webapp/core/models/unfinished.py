"""Messages whose attachments are still to be fetched."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from webapp.core.models.base import Base


class UnfinishedMessage(Base):
    """A message that was taken in and lacks files. Its deliveries are not due, and it has no `MessageSource` yet.

    `source` has a stand-in where each of *links* belongs. `due_at` is when a worker may take it: the next try, or the
    end of the time that the one which has it is given.
    """

    __tablename__ = "unfinished_messages"

    message_id: Mapped[str] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True)
    source: Mapped[bytes] = mapped_column(LargeBinary)
    links: Mapped[list[dict[str, str]]] = mapped_column(JSON)  # addresses may hold secrets: gone once fetched
    tries: Mapped[int] = mapped_column(default=0)  # begun
    due_at: Mapped[datetime] = mapped_column(index=True)

    def __str__(self) -> str:
        return self.message_id
