"""Failed attempts to log in, at all doors: what the panel lists and counts of the log of refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from webapp.core.models import FailedAttempt, Lock, Refusal
from webapp.core.rules.refusals import Reason

#: Refusals that are failed attempts: who it was could not be told, or was not let in.
REASONS = (
    Reason.AUTH_NEEDS_TLS,
    Reason.AUTH_MALFORMED,
    Reason.AUTH_CANCELLED,
    Reason.AUTH_MECHANISM,
    Reason.AUTH_FAILED,
    Reason.AUTH_UNAVAILABLE,
    Reason.KEY_MISSING,
    Reason.KEY_INVALID,
    Reason.KEY_EXPIRED,
    Reason.KEY_REVOKED,
    Reason.ADDRESS_NOT_ALLOWED,
    Reason.ADDRESS_LOCKED,
    Reason.CREDENTIAL_LOCKED,
    Reason.LOGIN_FAILED,
    Reason.CREDENTIAL_REVOKED,
    Reason.FORM_EXPIRED,
)
By = Literal["address", "network", "credential"]
MOST_GROUPS = 100
#: How many addresses or names a lock tells of.
_MOST_TOLD = 5


@dataclass(frozen=True, slots=True)
class Group:
    """Attempts with one thing in common. `others` counts the names tried from an address, or a name's addresses."""

    key: str
    attempts: int
    counted: int
    others: int
    last_at: datetime


def is_attempt() -> ColumnElement[bool]:
    """The condition that a refusal is a failed attempt."""
    return Refusal.code.in_([reason.answer.code for reason in REASONS])


def grouped(session: Session, by: By, since: datetime, *, limit: int = MOST_GROUPS) -> list[Group]:
    """The attempts after *since* with something in common, the most numerous groups first."""
    key = {"address": Refusal.ip, "network": Refusal.network, "credential": Refusal.name}[by]
    other = Refusal.ip if by == "credential" else Refusal.name
    total = func.count()
    rows = session.execute(
        select(
            key,
            total,
            func.sum(case((Refusal.counted, 1), else_=0)),
            func.count(func.distinct(func.nullif(other, ""))),
            func.max(Refusal.at),
        )
        .where(is_attempt(), Refusal.at > since, key != "")
        .group_by(key)
        .order_by(total.desc(), key)
        .limit(limit)
    ).all()
    return [Group(*row) for row in rows]


def behind(session: Session, lock: Lock) -> Sequence[tuple[str, int]]:
    """What led to *lock*: the names tried from its address, or the addresses that tried its name, and how often."""
    wanted = FailedAttempt.name if lock.scope == "address" else FailedAttempt.subject
    of_lock = (
        [FailedAttempt.subject == lock.subject]
        if lock.scope == "address"
        else [FailedAttempt.kind == lock.kind, FailedAttempt.name == lock.login]
    )
    if lock.scope == "pair":
        return [(lock.address or "", 1)]
    total = func.count()
    rows = session.execute(
        select(wanted, total)
        .where(*of_lock, FailedAttempt.at > lock.locked_at - timedelta(days=1), FailedAttempt.at <= lock.locked_at)
        .group_by(wanted)
        .order_by(total.desc(), wanted)
        .limit(_MOST_TOLD)
    ).all()
    return [(row[0], row[1]) for row in rows]
