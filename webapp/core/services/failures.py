"""Failures that count towards a lock: written down, recognised when they come again, and counted by scope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import ColumnElement, and_, case, delete, exists, func, insert, select
from sqlalchemy.orm import Session

from webapp.core.models import FailedAttempt, Lock
from webapp.core.rules.locks import MOST_FROM_ONE_ADDRESS, counted_name
from webapp.core.rules.networks import lock_subject
from webapp.core.rules.submission import Peer
from webapp.core.services.preferences import Current

ADDRESS, PAIR, CREDENTIAL = "address", "pair", "credential"
#: Log-ins that have a lock of their own. A key's 256 bits need none, and Make and Zapier change addresses.
WITH_OWN_LOCK = ("smtp_user", "admin")


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody who wants to be let in: as which kind of log-in, under which name (as it is looked up), from where."""

    kind: str
    name: str
    peer: Peer

    @property
    def address(self) -> str:
        """What the address locks are about."""
        return address_of(self.peer.ip)

    def keys(self) -> dict[str, str]:
        """Scope and subject of each lock that may be in the way."""
        name = counted_name(self.name)
        keys = {ADDRESS: self.address, PAIR: f"{self.kind} {name} {self.address}"}
        return keys | ({CREDENTIAL: f"{self.kind} {name}"} if self.kind in WITH_OWN_LOCK else {})


@lru_cache(maxsize=4096)
def address_of(ip: str) -> str:
    """What is locked for *ip*; a connection whose address was never known stands for itself."""
    try:
        return lock_subject(ip)
    except ValueError:
        return ip[:49]


def is_new(session: Session, attempt: Attempt, digest: bytes, since: datetime) -> bool:
    """Whether the secret with *digest* was not tried for the log-in after *since*, from wherever."""
    same = exists().where(*_of_login(attempt), FailedAttempt.secret_digest == digest, FailedAttempt.at > since)
    return not session.scalar(select(same))


def record(
    session: Session, attempt: Attempt, digest: bytes | None, now: datetime, *, spared: bool, counted: bool
) -> None:
    """Write the failure down; one that doesn't count is taken back at once, since it must take as long."""
    row = {"at": now, "kind": attempt.kind, "name": counted_name(attempt.name), "subject": attempt.address}
    values = {**row, "secret_digest": digest or b"", "spared": spared}
    id_ = session.scalar(insert(FailedAttempt).values(values).returning(FailedAttempt.id))
    if not counted:
        session.execute(delete(FailedAttempt).where(FailedAttempt.id == id_))


def any_of_pair(session: Session, attempt: Attempt, since: datetime) -> bool:
    """Whether failures of the very pair of log-in and address came after *since*."""
    of_pair = exists().where(*_of_login(attempt), FailedAttempt.subject == attempt.address, FailedAttempt.at > since)
    return bool(session.scalar(select(of_pair)))


def tally(
    session: Session,
    attempt: Attempt,
    locks: Mapping[str, Lock],
    succeeded_at: datetime | None,
    *,
    current: Current,
    now: datetime,
) -> dict[str, int]:
    """What counts towards the lock of each scope: nothing that led to an earlier one, or was forgiven with it."""
    since = dict.fromkeys((ADDRESS, PAIR, CREDENTIAL), now - current.lockout_window)
    since |= {scope: max(since[scope], ended(lock, now)) for scope, lock in locks.items()}
    since[PAIR] = max(since[PAIR], succeeded_at or since[PAIR])
    pair = and_(*_of_login(attempt), FailedAttempt.at > since[PAIR])
    of_address, of_pair = session.execute(
        select(
            func.sum(case((FailedAttempt.at > since[ADDRESS], 1), else_=0)),
            func.sum(case((pair, 1), else_=0)),
        ).where(FailedAttempt.subject == attempt.address, FailedAttempt.at > min(since[ADDRESS], since[PAIR]))
    ).one()
    each = session.scalars(
        select(func.count())
        .where(*_of_login(attempt), FailedAttempt.spared.is_(False), FailedAttempt.at > since[CREDENTIAL])
        .group_by(FailedAttempt.subject)
    )
    of_login = sum(min(number, MOST_FROM_ONE_ADDRESS) for number in each)
    return {ADDRESS: of_address or 0, PAIR: of_pair or 0, CREDENTIAL: of_login}


def ended(lock: Lock, now: datetime) -> datetime:
    """When *lock* ended, at the latest *now*."""
    return min(lock.cleared_at or lock.locked_until, now)


def _of_login(attempt: Attempt) -> tuple[ColumnElement[bool], ...]:
    return FailedAttempt.kind == attempt.kind, FailedAttempt.name == counted_name(attempt.name)
