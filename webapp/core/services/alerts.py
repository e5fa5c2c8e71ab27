"""Alerts: raised in the transaction that finds the cause, read by the bell, mailed by the digest.

Two sorts. A *happening* (a lock, a first use from a new network) is told again only after a while: what comes before
raises the count of the row that is there. A *state* (a queue that doesn't drain) has one row until it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, get_args

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.core.database import serialise
from webapp.core.models import Admin, Alert

Happening = Literal["lockout", "new_network"]
State = Literal["blocklist", "certificate", "queue", "webhook", "domain", "expiry"]
STATES: tuple[str, ...] = get_args(State)

#: A happening within so long of the last one like it joins that one.
_TOLD_AGAIN: dict[str, timedelta] = {"lockout": timedelta(hours=1), "new_network": timedelta(hours=24)}
#: The bell counts no older ones.
RECENT = timedelta(days=30)


def happened(
    session: Session, kind: Happening, subject: str, text: str, now: datetime, *, domain_id: int | None = None
) -> None:
    """Tell of something that happened at *now*; *text* is one sentence for people."""
    serialise(session, f"alert {kind} {subject}")
    known = session.scalar(
        select(Alert)
        .where(Alert.kind == kind, Alert.subject == subject, Alert.last_at > now - _TOLD_AGAIN[kind])
        .order_by(Alert.last_at.desc())
        .limit(1)
    )
    if known:
        known.times, known.last_at, known.text = known.times + 1, now, text
    else:
        session.add(_alert(kind, subject, text, now, domain_id))


def holds(
    session: Session, kind: State, subject: str, text: str, now: datetime, *, domain_id: int | None = None
) -> None:
    """Tell that a state holds. Say so as often as it is looked at: only the first time is told."""
    known = _open(session, kind, subject)
    if known is None:
        serialise(session, f"alert {kind} {subject}")
        known = _open(session, kind, subject)
    if known is None:
        session.add(_alert(kind, subject, text, now, domain_id))
    elif known.text != text:
        known.text = text


def ended(session: Session, kind: State, now: datetime, *, still: Sequence[str] = ()) -> None:
    """End the states of *kind*, but for those whose subject is *still* there."""
    for alert in session.scalars(select(Alert).where(Alert.kind == kind, Alert.ended_at.is_(None))):
        if alert.subject not in still:
            alert.ended_at = now


def over(session: Session, kind: State, subject: str, now: datetime) -> None:
    """End that one state."""
    if known := _open(session, kind, subject):
        known.ended_at = now


def newest(session: Session, limit: int = 100) -> Sequence[Alert]:
    """The newest alerts, those that last first."""
    lasting = Alert.kind.in_(STATES) & Alert.ended_at.is_(None)
    return session.scalars(select(Alert).order_by(lasting.desc(), Alert.last_at.desc()).limit(limit)).all()


def unread(session: Session, admin: Admin, now: datetime) -> int:
    """How many *admin* has not seen."""
    since = max(admin.alerts_seen_at or admin.created_at, now - RECENT)
    return session.scalar(select(func.count()).where(Alert.last_at > since)) or 0


def mark_seen(session: Session, admin: Admin, now: datetime) -> None:
    """Note that *admin* has seen what there is."""
    admin.alerts_seen_at = now


def _open(session: Session, kind: str, subject: str) -> Alert | None:
    return session.scalar(select(Alert).where(Alert.kind == kind, Alert.subject == subject, Alert.ended_at.is_(None)))


def _alert(kind: str, subject: str, text: str, now: datetime, domain_id: int | None) -> Alert:
    return Alert(kind=kind, subject=subject, domain_id=domain_id, text=text, first_at=now, last_at=now)
