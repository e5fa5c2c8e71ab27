"""The three locks that failed attempts lead to, in tables that all doors and processes share.

What counts and who is exempt is section 7 of the contract. A failure is a wrong secret or an unknown name; the same
wrong secret for the same name, from any address, counts once a window. It counts

- against its *address* (IPv6: the /64), over all doors;
- against the *pair* of its log-in and its address, until a success of that pair;
- against its *credential*, at most 3 from one address; API keys have no such lock.

Trusted proxies and the owners' never-lock list are exempt from the first two. The third spares addresses that the
credential's own list names closely, or from which it was used in the last 30 days.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import ceil

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session

from webapp.core.database import serialise
from webapp.core.models import Admin, CredentialRow, FailedAttempt, KnownAddress, Lock
from webapp.core.rules.locks import (
    FAMILIAR_FOR,
    counted_name,
    lock_duration,
    narrowly_allowed,
    next_level,
)
from webapp.core.rules.networks import Network, allowed, lock_subject
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.services import audit
from webapp.core.services.audit import Actor
from webapp.core.services.failures import (
    ADDRESS,
    CREDENTIAL,
    PAIR,
    WITH_OWN_LOCK,
    Attempt,
    address_of,
    any_of_pair,
    ended,
    is_new,
    record,
    tally,
)
from webapp.core.services.lock_news import announce
from webapp.core.services.preferences import Current

#: Asked at every attempt and connection: built once.
_UNDER = select(Lock).where(Lock.subject.in_(bindparam("subjects", expanding=True)))


class Locks:
    """Counts failures and locks. *trusted* are the proxies' networks."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted

    def check_address(self, session: Session, ip: str, current: Current, now: datetime) -> None:
        """Raise ``Refused(ADDRESS_LOCKED)`` while *ip* is locked; the trace has until when."""
        for lock in _held(session, {ADDRESS: address_of(ip)}, now):
            if not self.exempt(ip, current):
                raise _locked([lock], ip, now)

    def check(self, session: Session, attempt: Attempt, current: Current, now: datetime) -> None:
        """Raise ``Refused(ADDRESS_LOCKED)`` or ``Refused(CREDENTIAL_LOCKED)`` while a lock is in the way.

        A name that is not there takes the same queries, so that the answer tells nothing by its duration either.
        """
        held = _held(session, attempt.keys(), now)
        is_spared = any(lock.scope == CREDENTIAL for lock in held) and spared(session, attempt, now)
        self._refuse(held, attempt, current, now, is_spared=is_spared)

    def _refuse(
        self, held: Sequence[Lock], attempt: Attempt, current: Current, now: datetime, *, is_spared: bool
    ) -> None:
        in_the_way = {lock.scope: lock for lock in held}
        if in_the_way and self.exempt(attempt.peer.ip, current):
            in_the_way = {scope: lock for scope, lock in in_the_way.items() if scope == CREDENTIAL}
        if is_spared:
            in_the_way.pop(CREDENTIAL, None)
        if ADDRESS in in_the_way:
            in_the_way = {ADDRESS: in_the_way[ADDRESS]}
        if in_the_way:
            raise _locked(list(in_the_way.values()), attempt.peer.ip, now)

    def count(self, session: Session, attempt: Attempt, digest: bytes | None, current: Current, now: datetime) -> bool:
        """Count a failure and lock what is due; return whether it counted. *digest* tells the same secret again.

        Without a digest the secret was right, though it is of no use: nothing counts, but it must take as long.

        Of guesses that are judged at the same moment, those beyond the threshold hear of the lock and nothing else:
        raise `Refused` as `check` does. Other writers wait meanwhile: each table is asked as seldom as can be.
        """
        serialise(session, "failures")  # what is read here must stay true until the lock is written
        locks = {lock.scope: lock for lock in _locks(session, attempt.keys())}
        owner_id, networks = _owner(session, attempt)
        succeeded_at = _last_success(session, attempt, owner_id)
        is_spared = _is_spared(attempt, networks, succeeded_at, now)
        self._refuse([lock for lock in locks.values() if _holds(lock, now)], attempt, current, now, is_spared=is_spared)
        counted = is_new(session, attempt, digest or b"", now - current.lockout_window) and digest is not None
        is_spared = is_spared or attempt.kind not in WITH_OWN_LOCK
        record(session, attempt, digest, now, spared=is_spared, counted=counted)
        if not counted:
            return False
        scopes = [] if self.exempt(attempt.peer.ip, current) else [ADDRESS, PAIR]
        scopes += [] if is_spared else [CREDENTIAL]
        failures = tally(session, attempt, locks, succeeded_at, current=current, now=now)
        due = [scope for scope in scopes if failures[scope] >= current.lockout_failures]
        new = [_lock(session, attempt, scope, locks.get(scope), now) for scope in due]
        for lock in new:
            lock.failures, lock.locked_until = (
                failures[lock.scope],
                now + lock_duration(lock.level, current.lockout_first),
            )
        announce(session, new, kind=attempt.kind, name=attempt.name, ip=attempt.peer.ip, now=now)
        return True

    def exempt(self, ip: str, current: Current) -> bool:
        """Whether *ip* is a trusted proxy or on the owners' never-lock list."""
        networks = [*self._trusted, *current.never_lock]
        return bool(networks) and allowed(ip, networks)


def spared(session: Session, attempt: Attempt, now: datetime) -> bool:
    """Whether the credential's lock leaves the attempt's address alone."""
    owner_id, networks = _owner(session, attempt)
    return _is_spared(attempt, networks, _last_success(session, attempt, owner_id), now)


def has_failures(session: Session, attempt: Attempt, owner_id: int, current: Current, now: datetime) -> bool:
    """Whether a success of *owner_id* has something to clear: failures of the very pair."""
    since = now - current.lockout_window
    return any_of_pair(session, attempt, max(since, _last_success(session, attempt, owner_id) or since))


def succeed(session: Session, attempt: Attempt, owner_id: int, now: datetime) -> None:
    """Note that the log-in succeeded: its address is a known one, and the pair's failures count no more."""
    known = session.get(KnownAddress, (attempt.kind, owner_id, attempt.address))
    if known is None:
        known = KnownAddress(kind=attempt.kind, owner_id=owner_id, subject=attempt.address)
        session.add(known)
    known.succeeded_at = now
    session.flush()


def _owner(session: Session, attempt: Attempt) -> tuple[int, Sequence[str]]:
    """The id and the allowed list behind a name; 0 and nothing when there is none."""
    if attempt.kind == "admin":
        return session.scalar(select(Admin.id).where(Admin.email == attempt.name)) or 0, ()
    found = session.execute(
        select(CredentialRow.id, CredentialRow.allowed_networks).where(
            CredentialRow.kind == attempt.kind, CredentialRow.name == attempt.name, CredentialRow.deleted_at.is_(None)
        )
    ).first()
    return (found[0], found[1]) if found else (0, ())


def _last_success(session: Session, attempt: Attempt, owner_id: int) -> datetime | None:
    return session.scalar(
        select(KnownAddress.succeeded_at).where(
            KnownAddress.kind == attempt.kind,
            KnownAddress.owner_id == owner_id,
            KnownAddress.subject == attempt.address,
        )
    )


def _is_spared(attempt: Attempt, networks: Sequence[str], succeeded_at: datetime | None, now: datetime) -> bool:
    recent = succeeded_at is not None and succeeded_at > now - FAMILIAR_FOR
    return narrowly_allowed(attempt.peer.ip, networks) or recent


def _locks(session: Session, keys: dict[str, str]) -> list[Lock]:
    """The locks under *keys*, those that are over too."""
    found = session.scalars(_UNDER, {"subjects": list(keys.values())})
    return [lock for lock in found if keys.get(lock.scope) == lock.subject]


def _holds(lock: Lock, now: datetime) -> bool:
    return lock.locked_until > now and lock.cleared_at is None


def _held(session: Session, keys: dict[str, str], now: datetime) -> list[Lock]:
    return [lock for lock in _locks(session, keys) if _holds(lock, now)]


def _locked(held: list[Lock], ip: str, now: datetime) -> Refused:
    last = max(held, key=lambda lock: lock.locked_until)
    return Refused(
        Reason.ADDRESS_LOCKED if last.scope == ADDRESS else Reason.CREDENTIAL_LOCKED,
        retry_after=max(1, ceil((last.locked_until - now).total_seconds())),
        trace={"locked": str(last), "until": last.locked_until.isoformat(), "failures": last.failures},
        address=ip,
    )


def _lock(session: Session, attempt: Attempt, scope: str, lock: Lock | None, now: datetime) -> Lock:
    """*lock* one level up, or a new one; the caller fills in how many failures and until when."""
    if lock is None:
        lock = Lock(scope=scope, subject=attempt.keys()[scope], level=0)
        lock.kind, lock.login = (None, None) if scope == ADDRESS else (attempt.kind, counted_name(attempt.name))
        lock.address = None if scope == CREDENTIAL else attempt.address
        session.add(lock)
    else:
        lock.level = next_level(lock.level, ended(lock, now), now)
    lock.locked_at = now
    lock.cleared_at = lock.cleared_by = None
    return lock


def in_force(session: Session, now: datetime, *, limit: int | None = None) -> Sequence[Lock]:
    """The locks that hold now, newest first."""
    newest = select(Lock).order_by(Lock.locked_at.desc(), Lock.id.desc()).limit(limit)
    return session.scalars(newest.where(Lock.locked_until > now, Lock.cleared_at.is_(None))).all()


def concerning(session: Session, now: datetime, *, ip: str, kind: str = "", name: str = "") -> Sequence[Lock]:
    """The locks that hold now on *ip*; of pairs there only that of the log-in, if one is named, and its own lock."""
    address, counted = address_of(ip), counted_name(name)
    of_login = (Lock.kind == kind) & (Lock.login == counted)
    pair = (Lock.scope == PAIR) & (Lock.address == address)
    of_ip = ((Lock.scope == ADDRESS) & (Lock.subject == address)) | ((pair & of_login) if name else pair)
    query = select(Lock).where(Lock.locked_until > now, Lock.cleared_at.is_(None))
    query = query.where(or_(of_ip, (Lock.scope == CREDENTIAL) & of_login) if name else of_ip)
    return session.scalars(query.order_by(Lock.scope, Lock.locked_at.desc())).all()


def clear(session: Session, actor: Actor, now: datetime, *, ip: str | None = None, name: str | None = None) -> int:
    """Clear all locks; or those of *ip*; or those of the log-in *name* and of the addresses that failed under it.

    Return how many held. Raise `ValueError` when *ip* is no address.
    """
    held = select(Lock).where(Lock.locked_until > now, Lock.cleared_at.is_(None))
    if ip is not None:
        subject = lock_subject(ip)
        held = held.where(or_(Lock.subject == subject, Lock.address == subject))
    if name is not None:
        counted = counted_name(name.strip().lower())
        tried_from = select(FailedAttempt.subject).where(FailedAttempt.name == counted)
        held = held.where(or_(Lock.login == counted, (Lock.scope == ADDRESS) & Lock.subject.in_(tried_from)))
    locks = session.scalars(held).all()
    for lock in locks:
        unlock(session, actor, lock, now)
    return len(locks)


def unlock(session: Session, actor: Actor, lock: Lock, now: datetime) -> None:
    """End *lock*; what led to it is forgiven."""
    lock.cleared_at, lock.cleared_by = now, actor.name
    audit.record(session, actor, "unlock", lock, scope=lock.scope, failures=lock.failures)
