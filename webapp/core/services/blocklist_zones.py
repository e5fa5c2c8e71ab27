"""The list of blocklists as owners keep it: add, change, delete, exempt, and what self-tests find."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Row, func, or_, select
from sqlalchemy.orm import Session

from webapp.core.database import serialise
from webapp.core.models import BlocklistHit, BlocklistZone, Preference, utcnow
from webapp.core.rules.blocklists import STATES, Health, ignored_by_default, parse_answers, short, zone_name
from webapp.core.rules.networks import NetworkError, normalise_ip
from webapp.core.services import audit
from webapp.core.services.audit import Actor
from webapp.core.services.errors import ServiceError
from webapp.core.services.preferences import Preferences

TEST_EVERY = timedelta(minutes=30)
#: What "lately" means for the counts.
LATELY = timedelta(days=7)
#: A connection looks an address up in every zone: a dozen is more than anybody needs.
MOST_ZONES = 20
#: Marks that the start value was used: a list that its owner empties stays empty.
_FILLED = "rbl_zones"


def fill(session: Session, zones: Sequence[str]) -> None:
    """Put *zones*, the start value, into a list that nobody has touched yet."""
    if not zones or session.get(Preference, _FILLED) is not None:
        return
    serialise(session, "blocklists")  # every process comes here as it starts
    session.expire_all()
    if session.get(Preference, _FILLED) is not None:
        return
    session.add(Preference(name=_FILLED, value=list(zones)))
    if session.scalar(select(BlocklistZone.id).limit(1)) is None:
        session.add_all(BlocklistZone(zone=zone, ignored=list(ignored_by_default(zone))) for zone in zones)
    session.flush()


def add(
    session: Session, actor: Actor, *, zone: str, state: str = "on", counted: str = "", ignored: str | None = None
) -> BlocklistZone:
    """Add *zone*; without *ignored* the answers that say little of its kind don't count. Raise `ServiceError`."""
    try:
        name = zone_name(zone)
    except ValueError as error:
        raise ServiceError(f"This {error}.", field="zone") from None
    if session.scalar(select(BlocklistZone.id).where(BlocklistZone.zone == name)):
        raise ServiceError("This blocklist is in the list already.", field="zone")
    if (session.scalar(select(func.count(BlocklistZone.id))) or 0) >= MOST_ZONES:
        raise ServiceError(f"There are {MOST_ZONES} blocklists already: delete one first.", field="zone")
    row = BlocklistZone(
        zone=name,
        state=_state(state),
        counted=_answers("counted", counted),
        ignored=list(ignored_by_default(name)) if ignored is None else _answers("ignored", ignored),
    )
    session.add(row)
    audit.record(session, actor, "create", row, state=row.state, answers_that_count=row.counted, except_=row.ignored)
    return row


def change(
    session: Session, actor: Actor, row: BlocklistZone, *, state: str, counted: str | None = None,
    ignored: str | None = None,
) -> None:  # fmt: skip
    """Change *row*; what is None stays. Raise `ServiceError`."""
    wanted = {
        "state": _state(state),
        "counted": row.counted if counted is None else _answers("counted", counted),
        "ignored": row.ignored if ignored is None else _answers("ignored", ignored),
    }
    changes = {name: [getattr(row, name), value] for name, value in wanted.items() if getattr(row, name) != value}
    if not changes:
        return
    for name, (_, value) in changes.items():
        setattr(row, name, value)
    if state == "off":  # nothing is tested any more, so nothing is known
        row.tested_at = row.failing_since = row.demoted_at = None
        row.health = row.said = ""
    audit.record(session, actor, "change", row, **changes)


def delete(session: Session, actor: Actor, row: BlocklistZone) -> None:
    """Delete *row* and its counts."""
    audit.record(session, actor, "delete", row)
    session.delete(row)


def exempt(session: Session, actor: Actor, preferences: Preferences, ip: str) -> bool:
    """Add *ip* to the addresses that no blocklist refuses; False if it was exempt. Raise `ServiceError`."""
    try:
        address = normalise_ip(ip)
    except ValueError:
        raise ServiceError("This is not an IP address.") from None
    networks = preferences.read(session).blocklist_exempt
    if any(address in network for network in networks):
        return False
    preferences.store(session, actor, {"blocklist_exempt": "\n".join([*map(str, networks), str(address)])})
    return True


def due(session: Session, now: datetime) -> Sequence[BlocklistZone]:
    """The zones whose self-test is due."""
    untested = or_(BlocklistZone.tested_at.is_(None), BlocklistZone.tested_at <= now - TEST_EVERY)
    return session.scalars(select(BlocklistZone).where(BlocklistZone.state != "off", untested)).all()


def record_test(session: Session, zone_id: int, health: Health, said: str) -> BlocklistZone | None:
    """Write a self-test's result down: a wrong answer makes the zone observe, a good one ends that."""
    row, now = session.get(BlocklistZone, zone_id), utcnow()
    if row is None or row.state == "off":
        return row
    row.tested_at, row.health, row.said = now, health.value, said
    if health is Health.GOOD:
        row.failing_since = row.demoted_at = None
    else:
        row.failing_since = row.failing_since or now
        if health is Health.WRONG:
            row.demoted_at = row.demoted_at or now
    return row


class Counts(NamedTuple):
    """Connections that a zone has had refused, or would have."""

    refused: int = 0
    observed: int = 0


def counts(session: Session, now: datetime) -> dict[int, Counts]:
    """What each zone found within `LATELY`, by its id."""
    since = (now - LATELY).date()
    rows = session.execute(
        select(BlocklistHit.zone_id, BlocklistHit.refused, func.sum(BlocklistHit.count))
        .where(BlocklistHit.day > since)
        .group_by(BlocklistHit.zone_id, BlocklistHit.refused)
    )
    found: dict[int, Counts] = {}
    for zone_id, refused, count in rows:
        before = found.get(zone_id, Counts())
        found[zone_id] = before._replace(**{"refused" if refused else "observed": int(count)})
    return found


def latest_hits(session: Session, limit: int = 20) -> Sequence[Row[BlocklistHit, BlocklistZone]]:
    """The newest hits with their zones."""
    return session.execute(
        select(BlocklistHit, BlocklistZone)
        .join(BlocklistZone, BlocklistHit.zone_id == BlocklistZone.id)
        .order_by(BlocklistHit.last_at.desc())
        .limit(limit)
    ).all()


def _state(text: str) -> str:
    if text not in STATES:
        raise ServiceError("Choose on, observe only or off.", field="state")
    return text


def _answers(field: str, text: str) -> list[str]:
    try:
        return [short(network) for network in parse_answers(text)]
    except NetworkError as error:
        raise ServiceError(str(error), field=field) from None
