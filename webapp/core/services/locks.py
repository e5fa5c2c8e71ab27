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
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from webapp.core.database import serialise
from webapp.core.models import Admin, CredentialRow, FailedAttempt, KnownAddress, Lock
from webapp.core.rules.locks import (
    FAMILIAR_FOR,
    MOST_FROM_ONE_ADDRESS,
    counted_name,
    lock_duration,
    narrowly_allowed,
    next_level,
)
from webapp.core.rules.networks import Network, allowed, lock_subject
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Peer
from webapp.core.services import audit
from webapp.core.services.audit import Actor
from webapp.core.services.lock_news import announce
from webapp.core.services.preferences import Current

ADDRESS, PAIR, CREDENTIAL = "address", "pair", "credential"
#: Log-ins that have a lock of their own. A key's 256 bits need none, and Make and Zapier change addresses.
_WITH_OWN_LOCK = ("smtp_user", "admin")


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
        return keys | ({CREDENTIAL: f"{self.kind} {name}"} if self.kind in _WITH_OWN_LOCK else {})


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
        held = {lock.scope: lock for lock in _held(session, attempt.keys(), now)}
        if held and self.exempt(attempt.peer.ip, current):
            held = {scope: lock for scope, lock in held.items() if scope == CREDENTIAL}
        if CREDENTIAL in held and spared(session, attempt, now):
            del held[CREDENTIAL]
        if ADDRESS in held:
            held = {ADDRESS: held[ADDRESS]}
        if held:
            raise _locked(list(held.values()), attempt.peer.ip, now)

    def count(self, session: Session, attempt: Attempt, digest: bytes | None, current: Current, now: datetime) -> bool:
        """Count a failure and lock what is due; return whether it counted. *digest* tells the same secret again.

        Without a digest the secret was right, though it is of no use: nothing counts, but it must take as long.

        Of guesses that are judged at the same moment, those beyond the threshold hear of the lock and nothing else:
        raise `Refused` as `check` does.
        """
        serialise(session, "failures")  # what is read here must stay true until the lock is written
        self.check(session, attempt, current, now)
        since, name = now - current.lockout_window, counted_name(attempt.name)
        same = select(FailedAttempt.id).where(
            FailedAttempt.kind == attempt.kind,
            FailedAttempt.name == name,
            FailedAttempt.secret_digest == digest,
            FailedAttempt.at > since,
        )
        counts = session.scalar(same.limit(1)) is None and digest is not None
        is_spared = attempt.kind not in _WITH_OWN_LOCK or spared(session, attempt, now)
        row = FailedAttempt(at=now, kind=attempt.kind, name=name, subject=attempt.address, spared=is_spared)
        row.secret_digest = digest or b""
        session.add(row)
        session.flush()
        if not counts:
            session.delete(row)
            session.flush()
            return False
        scopes = [] if self.exempt(attempt.peer.ip, current) else [ADDRESS, PAIR]
        scopes += [] if is_spared else [CREDENTIAL]
        new = [lock for scope in scopes if (lock := self._lock_if_due(session, attempt, scope, current, now))]
        announce(session, new, kind=attempt.kind, name=attempt.name, ip=attempt.peer.ip, now=now)
        return True

    def exempt(self, ip: str, current: Current) -> bool:
        """Whether *ip* is a trusted proxy or on the owners' never-lock list."""
        networks = [*self._trusted, *current.never_lock]
        return bool(networks) and allowed(ip, networks)

    @staticmethod
    def _lock_if_due(session: Session, attempt: Attempt, scope: str, current: Current, now: datetime) -> Lock | None:
        subject = attempt.keys()[scope]
        lock = session.scalar(select(Lock).where(Lock.scope == scope, Lock.subject == subject))
        failures = _failures(session, attempt, scope, lock, current=current, now=now)
        if failures < current.lockout_failures:
            return None
        if lock is None:
            lock = Lock(scope=scope, subject=subject, level=0)
            lock.kind, lock.login = (None, None) if scope == ADDRESS else (attempt.kind, counted_name(attempt.name))
            lock.address = None if scope == CREDENTIAL else attempt.address
            session.add(lock)
        else:
            lock.level = next_level(lock.level, _ended(lock, now), now)
        lock.failures, lock.locked_at = failures, now
        lock.locked_until = now + lock_duration(lock.level, current.lockout_first)
        lock.cleared_at = lock.cleared_by = None
        return lock


def address_of(ip: str) -> str:
    """What is locked for *ip*; a connection whose address was never known stands for itself."""
    try:
        return lock_subject(ip)
    except ValueError:
        return ip[:49]


def spared(session: Session, attempt: Attempt, now: datetime) -> bool:
    """Whether the credential's lock leaves the attempt's address alone."""
    owner_id, networks = _owner(session, attempt)
    succeeded_at = _last_success(session, attempt, owner_id)
    recent = succeeded_at is not None and succeeded_at > now - FAMILIAR_FOR
    return narrowly_allowed(attempt.peer.ip, networks) or recent


def has_failures(session: Session, attempt: Attempt, current: Current, now: datetime) -> bool:
    """Whether a success has something to clear: failures of the very pair."""
    return _failures(session, attempt, PAIR, None, current=current, now=now) > 0


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


def _held(session: Session, keys: dict[str, str], now: datetime) -> list[Lock]:
    found = session.scalars(
        select(Lock).where(Lock.subject.in_(keys.values()), Lock.locked_until > now, Lock.cleared_at.is_(None))
    )
    return [lock for lock in found if keys.get(lock.scope) == lock.subject]


def _locked(held: list[Lock], ip: str, now: datetime) -> Refused:
    last = max(held, key=lambda lock: lock.locked_until)
    return Refused(
        Reason.ADDRESS_LOCKED if last.scope == ADDRESS else Reason.CREDENTIAL_LOCKED,
        retry_after=max(1, ceil((last.locked_until - now).total_seconds())),
        trace={"locked": str(last), "until": last.locked_until.isoformat(), "failures": last.failures},
        address=ip,
    )


def _ended(lock: Lock, now: datetime) -> datetime:
    return min(lock.cleared_at or lock.locked_until, now)


def _failures(
    session: Session, attempt: Attempt, scope: str, lock: Lock | None, *, current: Current, now: datetime
) -> int:
    """What counts towards the lock of *scope*: nothing that led to an earlier one, or was forgiven with it."""
    since = max(now - current.lockout_window, _ended(lock, now)) if lock else now - current.lockout_window
    if scope == PAIR:
        since = max(since, _last_success(session, attempt, _owner(session, attempt)[0]) or since)
    of_login = [FailedAttempt.kind == attempt.kind, FailedAttempt.name == counted_name(attempt.name)]
    matching = {
        ADDRESS: [FailedAttempt.subject == attempt.address],
        PAIR: [*of_login, FailedAttempt.subject == attempt.address],
        CREDENTIAL: [*of_login, FailedAttempt.spared.is_(False)],
    }[scope]
    rows = session.execute(
        select(FailedAttempt.subject, func.count())
        .where(*matching, FailedAttempt.at > since)
        .group_by(FailedAttempt.subject)
    ).all()
    return sum(min(count, MOST_FROM_ONE_ADDRESS) if scope == CREDENTIAL else count for _, count in rows)


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
