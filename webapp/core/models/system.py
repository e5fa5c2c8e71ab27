"""What processes tell each other: preferences set in the panel, and signs of life."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.core.models.base import Base, utcnow


class Preference(Base):
    """One setting of the Settings page. Secret values are encrypted with the app's key."""

    __tablename__ = "preferences"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class Heartbeat(Base):
    """When a process last said that it is at work."""

    __tablename__ = "heartbeats"

    process: Mapped[str] = mapped_column(String(32), primary_key=True)  # submission, worker
    seen_at: Mapped[datetime]
