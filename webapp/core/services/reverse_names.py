"""What the DNS calls addresses, remembered. Pages read what is known and want the rest; the worker asks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.core.models import ReverseName
from webapp.core.rules.refusals import printable

#: A name is asked for again after so long, when somebody looks.
FRESH_FOR = timedelta(days=1)
#: Addresses that one round asks for.
ROUND = 20


def known(session: Session, ips: Iterable[str], now: datetime) -> tuple[dict[str, str], list[str]]:
    """The names of those that have one, and the addresses that should be asked for."""
    wanted = set(ips)
    rows = session.scalars(select(ReverseName).where(ReverseName.ip.in_(wanted))).all()
    fresh = {row.ip for row in rows if (row.found_at or row.wanted_at) > now - FRESH_FOR}
    return {row.ip: row.name for row in rows if row.name}, sorted(wanted - fresh)


def want(session: Session, ips: Iterable[str], now: datetime) -> None:
    """Have the worker ask for *ips*."""
    for ip in ips:
        row = session.get(ReverseName, ip)
        if row is None:
            session.add(ReverseName(ip=ip, wanted_at=now))
        else:
            row.wanted_at, row.found_at = now, None
    session.flush()


def wanted(session: Session) -> list[str]:
    """The next addresses to ask for."""
    query = select(ReverseName.ip).where(ReverseName.found_at.is_(None)).order_by(ReverseName.wanted_at)
    return list(session.scalars(query.limit(ROUND)))


def learn(session: Session, ip: str, name: str | None, now: datetime) -> None:
    """Remember what the DNS said; None for an address without a name, or whose name could not be found out."""
    row = session.get(ReverseName, ip)
    if row is not None:
        # Whoever owns the address writes its name: it is a stranger's text.
        row.name, row.found_at = (printable(name, 255) if name else None), now
