"""Blocklists in the DNS that connecting addresses are looked up in, and what they found."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.core.models.base import Base, BigKey, utcnow
from webapp.core.rules.blocklists import zone_label


class BlocklistZone(Base):
    """A blocklist, what its answers mean here, and how its last self-test went.

    `health` is one of `webapp.core.rules.blocklists.Health`, or empty before the first test. While `failing_since` is
    set the zone needs somebody's eye; while `demoted_at` is set it only observes, because its answers were wrong.
    """

    __tablename__ = "blocklist_zones"

    id: Mapped[int] = mapped_column(primary_key=True)
    zone: Mapped[str] = mapped_column(String(189), unique=True)
    state: Mapped[str] = mapped_column(String(8), default="on")  # on, observe, off
    counted: Mapped[list[str]] = mapped_column(JSON, default=list)  # answers that count; empty for all but `ignored`
    ignored: Mapped[list[str]] = mapped_column(JSON, default=list)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    tested_at: Mapped[datetime | None]
    health: Mapped[str] = mapped_column(String(10), default="")
    said: Mapped[str] = mapped_column(Text, default="")
    failing_since: Mapped[datetime | None]
    demoted_at: Mapped[datetime | None]

    @property
    def in_force(self) -> str:
        """The state that holds now."""
        return "observe" if self.state == "on" and self.demoted_at else self.state

    def __str__(self) -> str:
        return zone_label(self.zone)


class BlocklistHit(Base):
    """An address that a zone listed when it connected: one row a day, so that a stubborn client fills no disk."""

    __tablename__ = "blocklist_hits"
    __table_args__ = (
        UniqueConstraint("zone_id", "ip", "day", "refused"),
        Index("ix_blocklist_hits_last_at", "last_at"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    zone_id: Mapped[int] = mapped_column(ForeignKey("blocklist_zones.id", ondelete="CASCADE"))
    ip: Mapped[str] = mapped_column(String(45))
    day: Mapped[date]  # in UTC
    refused: Mapped[bool]  # false: it only would have been
    count: Mapped[int]
    last_at: Mapped[datetime]
    answers: Mapped[list[str]] = mapped_column(JSON)
    reason: Mapped[str] = mapped_column(Text, default="")
    reference: Mapped[str | None] = mapped_column(String(10))  # of the last refusal
