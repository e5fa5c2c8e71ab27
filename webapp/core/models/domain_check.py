"""What was found in the DNS for a domain."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from webapp.core.models.base import Base


class DomainCheck(Base):
    """The last look at a domain's records: `findings` maps a record's key to a `Found` of the rules, as JSON."""

    __tablename__ = "domain_checks"

    domain_id: Mapped[int] = mapped_column(ForeignKey("domains.id", ondelete="CASCADE"), primary_key=True)
    checked_at: Mapped[datetime]
    findings: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    zone: Mapped[str] = mapped_column(String(253), default="")  # where the domain's DNS is managed
    host: Mapped[str] = mapped_column(String(32), default="")  # at which DNS host, when it is a known one
