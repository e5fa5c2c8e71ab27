"""Sending limits of credentials and domains: judged and counted in the transaction that stores the message.

So neither two processes nor a crash can make a count wrong, and what is refused, or only repeats an earlier message,
never counts. Without a limit nothing is read or written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import insert, select, tuple_, update
from sqlalchemy.orm import Session

from webapp.core.database import serialise
from webapp.core.models import CredentialRow, Domain, SendCounter
from webapp.core.rules.duration import format_duration
from webapp.core.rules.quotas import Allowance, Limits, Period, Tally, count_one
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Credential
from webapp.core.services import audit
from webapp.core.services.audit import Actor

_FIELDS = ("messages_per_hour", "messages_per_day", "recipients_per_message")
#: The columns of a sender's limits: the credential's own, then its domain's.
LIMIT_COLUMNS = (*(getattr(CredentialRow, name) for name in _FIELDS), *(getattr(Domain, name) for name in _FIELDS))


class SenderLimits(NamedTuple):
    """The limits of a credential and of its domain."""

    credential: Limits
    domain: Limits

    @classmethod
    def read(cls, columns: Sequence[int | None]) -> SenderLimits:
        """From the values of `LIMIT_COLUMNS`."""
        return cls(Limits(*columns[:3]), Limits(*columns[3:]))

    def most_recipients(self, most: int) -> int:
        """How many recipients a message may have where *most* holds for everybody."""
        return min(most, *(one.recipients_per_message or most for one in self))


def take(session: Session, credential: Credential, limits: SenderLimits, now: datetime) -> None:
    """Count one message of *credential*. Raise ``Refused(QUOTA)``, with nothing written, when a limit is reached."""
    owners = [one for one in _owners(credential, limits) if one[2].periods]
    if not owners:
        return
    serialise(session, "quotas")
    tallies = _tallies(session, [(owner, id_) for owner, id_, _ in owners])
    reached = [one for one in _allowances(owners, tallies, now) if not one.remaining]
    if reached:
        raise _refused(max(reached, key=lambda one: one.reset), credential)
    for owner, id_, own in owners:
        known = tallies.get((owner, id_))
        values = {period.word: count_one(known[period.word] if known else [], period, now) for period, _ in own.periods}
        if known is None:
            empty: dict[str, list[tuple[int, int]]] = {"hour": [], "day": []}
            session.execute(insert(SendCounter), [{"owner": owner, "owner_id": id_, **empty, **values}])
        else:
            mine = (SendCounter.owner == owner) & (SendCounter.owner_id == id_)
            session.execute(update(SendCounter).where(mine).values(values))


def allowances(session: Session, credential: Credential, now: datetime) -> list[Allowance]:
    """What is left of each limit that holds for *credential*; empty without any."""
    columns = session.execute(
        select(*LIMIT_COLUMNS)
        .join(Domain, Domain.id == CredentialRow.domain_id)
        .where(CredentialRow.id == credential.id)
    ).one_or_none()
    if columns is None:
        return []
    owners = [one for one in _owners(credential, SenderLimits.read(columns)) if one[2].periods]
    if not owners:
        return []
    return _allowances(owners, _tallies(session, [(owner, id_) for owner, id_, _ in owners]), now)


def of_rows(
    session: Session, rows: Sequence[CredentialRow | Domain], now: datetime
) -> dict[tuple[str, int], list[Allowance]]:
    """What is left for each of *rows* that has a limit, in one query: by (owner, id)."""
    owners = [(_owner(row), row.id, row.limits) for row in rows if row.limits.periods]
    tallies = _tallies(session, [(owner, id_) for owner, id_, _ in owners]) if owners else {}
    return {(one[0], one[1]): _allowances([one], tallies, now) for one in owners}


def set_limits(session: Session, actor: Actor, row: CredentialRow | Domain, limits: Limits) -> None:
    """Set the limits of *row*, from now on and in every process."""
    changes = {
        name: [getattr(row, name), getattr(limits, name)]
        for name in _FIELDS
        if getattr(row, name) != getattr(limits, name)
    }
    for name, (_, value) in changes.items():
        setattr(row, name, value)
    if changes:
        audit.record(session, actor, "change", row, **changes)


_Owner = tuple[str, int, Limits]


def _owner(row: CredentialRow | Domain) -> str:
    return "domain" if isinstance(row, Domain) else "credential"


def _owners(credential: Credential, limits: SenderLimits) -> tuple[_Owner, _Owner]:
    return ("credential", credential.id, limits.credential), ("domain", credential.domain_id, limits.domain)


def _tallies(session: Session, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], dict[str, Tally]]:
    found = session.execute(
        select(SendCounter.owner, SendCounter.owner_id, SendCounter.hour, SendCounter.day).where(
            tuple_(SendCounter.owner, SendCounter.owner_id).in_(keys)
        )
    )
    return {(owner, id_): {"hour": hour, "day": day} for owner, id_, hour, day in found}


def _allowances(
    owners: Sequence[_Owner], tallies: dict[tuple[str, int], dict[str, Tally]], now: datetime
) -> list[Allowance]:
    return [
        Allowance.of(owner, period, limit, tallies.get((owner, id_), {}).get(period.word, ()), now)
        for owner, id_, limits in owners
        for period, limit in limits.periods
    ]


def _refused(reached: Allowance, credential: Credential) -> Refused:
    whose = credential.domain if reached.owner == "domain" else "this log-in"
    return Refused(
        Reason.QUOTA,
        retry_after=reached.reset,
        cause=f"{reached.owner}_{reached.period.word}",
        trace={"limit": reached.limit, "sent": reached.used, "per": reached.period.word, "frees_in": reached.reset},
        whose=whose,
        limit="1 message" if reached.limit == 1 else f"{reached.limit} messages",
        period="an hour" if reached.period is Period.HOUR else "a day",
        wait=format_duration(timedelta(seconds=reached.reset)),
    )
