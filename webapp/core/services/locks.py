"""Failed attempts and the locks they lead to, in tables that all doors and processes share.

What counts and who is exempt is section 7 of the contract: a failure is a wrong secret or an unknown name; the same
wrong secret for the same name counts once a window; trusted proxies and the owners' never-lock list are exempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.core.database import serialise
from webapp.core.models import FailedAttempt, Lock
from webapp.core.rules.locks import lock_duration, next_level
from webapp.core.rules.networks import Network, allowed, lock_subject
from webapp.core.rules.refusals import Reason, Refused, printable
from webapp.core.rules.submission import Peer
from webapp.core.services import audit
from webapp.core.services.audit import Actor
from webapp.core.services.preferences import Current

ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Failure:
    """A wrong secret or an unknown name. `secret_digest` is keyed: it tells sameness, nothing else."""

    kind: str
    name: str
    secret_digest: bytes
    peer: Peer
    cause: str
    reference: str


class Locks:
    """Counts failures and locks addresses. *trusted* are the proxies' networks, which are never locked."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted

    def check(self, session: Session, ip: str, now: datetime) -> None:
        """Raise ``Refused(ADDRESS_LOCKED)`` while *ip* is locked; the trace has until when."""
        lock = self._find(session, lock_subject(ip))
        if lock and lock.cleared_at is None and lock.locked_until > now:
            raise Refused(
                Reason.ADDRESS_LOCKED,
                retry_after=max(1, round((lock.locked_until - now).total_seconds())),
                trace={"subject": lock.subject, "until": lock.locked_until.isoformat(), "failures": lock.failures},
                address=ip,
            )

    def fail(self, session: Session, failure: Failure, current: Current, now: datetime) -> None:
        """Write *failure* down, and lock its address when the window holds too many."""
        subject, name = lock_subject(failure.peer.ip), printable(failure.name.lower())
        serialise(session, subject)  # the count must stay true until the lock is written
        since = now - current.lockout_window
        repeated = session.scalar(
            select(FailedAttempt.id)
            .where(
                FailedAttempt.kind == failure.kind,
                FailedAttempt.name == name,
                FailedAttempt.secret_digest == failure.secret_digest,
                FailedAttempt.counted,
                FailedAttempt.at > since,
            )
            .limit(1)
        )
        session.add(
            FailedAttempt(
                at=now,
                door=failure.peer.door,
                kind=failure.kind,
                name=name,
                secret_digest=failure.secret_digest,
                ip=failure.peer.ip,
                subject=subject,
                cause=failure.cause,
                client=printable(failure.peer.client, 255),
                reference=failure.reference,
                counted=repeated is None,
            )
        )
        if repeated is None and not self.exempt(failure.peer.ip, current):
            self._lock_if_due(session, subject, since, current, now)

    def exempt(self, ip: str, current: Current) -> bool:
        """Whether *ip* is a trusted proxy or on the owners' never-lock list."""
        networks = [*self._trusted, *current.never_lock]
        return bool(networks) and allowed(ip, networks)

    def _lock_if_due(self, session: Session, subject: str, since: datetime, current: Current, now: datetime) -> None:
        lock = self._find(session, subject)
        if lock:  # what led to an earlier lock, or was forgiven, doesn't count again
            since = max(since, min(lock.cleared_at or lock.locked_until, now))
        session.flush()
        failures = session.scalar(
            select(func.count()).where(
                FailedAttempt.subject == subject, FailedAttempt.counted, FailedAttempt.at > since
            )
        )
        if failures is None or failures < current.lockout_failures:
            return
        if lock is None:
            lock = Lock(scope=ADDRESS, subject=subject, level=0)
            session.add(lock)
        else:
            lock.level = next_level(lock.level, lock.locked_until, now)
        lock.failures, lock.locked_at = failures, now
        lock.locked_until = now + lock_duration(lock.level, current.lockout_first)
        lock.cleared_at = lock.cleared_by = None

    @staticmethod
    def _find(session: Session, subject: str) -> Lock | None:
        return session.scalar(select(Lock).where(Lock.scope == ADDRESS, Lock.subject == subject))


def in_force(session: Session, now: datetime) -> Sequence[Lock]:
    """The locks that hold now, newest first."""
    return session.scalars(
        select(Lock).where(Lock.locked_until > now, Lock.cleared_at.is_(None)).order_by(Lock.locked_at.desc())
    ).all()


def clear(session: Session, actor: Actor, now: datetime, *, ip: str | None = None, name: str | None = None) -> int:
    """Clear the locks of *ip*, those that failures for the log-in *name* led to, or all; return how many held.

    Raise `ValueError` when *ip* is no address.
    """
    held = in_force(session, now)
    if ip is not None:
        subject = lock_subject(ip)
        held = [lock for lock in held if lock.subject == subject]
    if name is not None:
        tried_from = session.scalars(
            select(FailedAttempt.subject).where(FailedAttempt.name == printable(name.strip().lower())).distinct()
        ).all()
        held = [lock for lock in held if lock.subject in tried_from]
    for lock in held:
        lock.cleared_at, lock.cleared_by = now, actor.name
        audit.record(session, actor, "unlock", lock, subject=lock.subject)
    return len(held)
