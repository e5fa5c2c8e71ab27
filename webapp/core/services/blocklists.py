"""Blocklists as connections need them: the rules in force, and a note of whom they found."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from webapp.core.database import UNAVAILABLE, Database
from webapp.core.models import BlocklistHit, BlocklistZone, utcnow
from webapp.core.rules.blocklists import Finding, Rules, Zone
from webapp.core.rules.networks import parse_networks
from webapp.core.services import blocklist_zones
from webapp.core.services.group_commit import GroupCommit
from webapp.core.services.preferences import FRESH_SECONDS, Preferences
from webapp.settings import Settings


class Blocklists:
    """Reads the zones through a short-lived memory, and counts what they find."""

    def __init__(
        self, *, database: Database, settings: Settings, preferences: Preferences, writer: GroupCommit
    ) -> None:
        self._database = database
        self._start_zones = settings.rbl_zones
        self._preferences = preferences
        self._writer = writer
        self._lock = threading.Lock()
        self._known = Rules()
        self._read_at = float("-inf")

    def rules(self) -> Rules:
        """The rules in force, at most `FRESH_SECONDS` old; without a database the last known ones."""
        # Who comes while another reads gets the last known ones at once.
        if self._lock.acquire(blocking=self._read_at == float("-inf")):
            try:
                self._refresh()
            finally:
                self._lock.release()
        return self._known

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            with suppress(*UNAVAILABLE), self._database.session() as session:
                self._known = self.read(session)
            self._read_at = time.monotonic()

    def read(self, session: Session) -> Rules:
        """The rules in force, read now. The start value fills an empty list the first time."""
        blocklist_zones.fill(session, self._start_zones)
        rows = session.scalars(select(BlocklistZone).order_by(BlocklistZone.id)).all()
        return Rules(
            tuple(as_zone(row) for row in rows if row.state != "off"),
            self._preferences.read(session).blocklist_exempt,
        )

    def note(self, ip: str, findings: Sequence[Finding], refused_by: Finding | None, reference: str | None) -> None:
        """Count the zones that list *ip*, of which *refused_by* had it refused. Never blocks."""
        now = utcnow()
        hits: list[dict[str, Any]] = [
            {
                "zone_id": finding.zone.id,
                "ip": ip,
                "day": now.date(),
                "refused": finding is refused_by,
                "count": 1,
                "last_at": now,
                "answers": list(finding.counted_answers),
                "reason": finding.reason,
                "reference": reference if finding is refused_by else None,
            }
            for finding in findings
            if finding is refused_by or (finding.listed and finding.zone.state == "observe")
        ]

        def write(session: Session) -> None:
            for hit in hits:
                _count(session, hit)

        if hits:
            self._writer.submit(write)


def as_zone(row: BlocklistZone) -> Zone:
    """*row* as the rules know it."""
    counted, ignored = (parse_networks("\n".join(answers)) for answers in (row.counted, row.ignored))
    return Zone(row.id, row.zone, row.in_force, counted, ignored)


def _count(session: Session, hit: dict[str, Any]) -> None:
    if session.get(BlocklistZone, hit["zone_id"]) is None:
        return  # deleted meanwhile
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    changed = {name: hit[name] for name in ("last_at", "answers", "reason", "reference")}
    session.execute(
        insert(BlocklistHit)
        .values(hit)
        .on_conflict_do_update(
            index_elements=["zone_id", "ip", "day", "refused"], set_={**changed, "count": BlocklistHit.count + 1}
        )
    )
