"""Who is asking? The one place where a secret is judged, for SMTP users, API keys and panel log-ins.

State, expiry, allowed addresses and locks are read at every attempt. A lock refuses before anything is hashed, and
what was hashed is judged only if no lock has come meanwhile: a burst of guesses gets no more answers than the threshold
allows. A wrong password and an unknown name take equally long and look alike from outside.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.core.database import UNAVAILABLE, Database
from webapp.core.models import Admin, ApiKeyRow, CredentialRow, SmtpUser, utcnow
from webapp.core.rules.api_keys import digest_secret, parse_api_key
from webapp.core.rules.networks import allowed
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Credential, CredentialKind, Peer
from webapp.core.services import locks as locking
from webapp.core.services.failures import Attempt, address_of
from webapp.core.services.familiar import Familiar
from webapp.core.services.group_commit import GroupCommit
from webapp.core.services.hashing import matching
from webapp.core.services.locks import Locks
from webapp.core.services.preferences import Preferences
from webapp.core.services.turns import Turns
from webapp.core.services.uses import Uses
from webapp.core.services.vault import Vault

T = TypeVar("T")

#: How long a verified password is remembered, in seconds, as a keyed digest in memory.
REMEMBERED_SECONDS = 300.0
_MOST_REMEMBERED = 5_000
#: A success is noted for its address only this often, in seconds, unless it has failures to clear.
_NOTED_SECONDS = 600.0
#: Strangers' threads that look up at once: of a crowd, the event loop would get every fiftieth turn at the interpreter.
LOOKUPS_AT_ONCE = 2
#: How many may wait for their turn to be hashed: few of the panel, whose threads the API needs, too.
MOST_WAITING = {"smtp": 48, "panel": 6}


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database says of a name at this moment. `secrets` are (id, hash) of those that work now."""

    id: int
    name: str
    domain: tuple[int, str]  # id and name; a person has none
    secrets: tuple[tuple[int, str], ...]
    state: str
    networks: tuple[str, ...] = ()


class Authenticator:
    """Judges secrets. Its calls block (database, argon2): doors with an event loop call them in threads."""

    def __init__(
        self,
        *,
        database: Database,
        preferences: Preferences,
        locks: Locks,
        vault: Vault,
        writer: GroupCommit,
        uses: Uses,
        familiar: Familiar,
    ) -> None:
        self._database = database
        self._preferences = preferences
        self._locks = locks
        self._vault = vault
        self._writer = writer
        self._uses = uses
        self._familiar = familiar
        self._turns = {door: Turns(most) for door, most in MOST_WAITING.items()}
        self._few = threading.BoundedSemaphore(LOOKUPS_AT_ONCE)
        self._remembered: dict[str, tuple[bytes, float]] = {}
        self._noted: dict[tuple[str, int, str], float] = {}

    def check_address(self, peer: Peer) -> None:
        """Raise ``Refused(ADDRESS_LOCKED)`` while the peer's address is locked, `UNAVAILABLE` without a database."""
        current = self._preferences.current()
        with self._database.session() as session:
            self._locks.check_address(session, peer.ip, current, utcnow())

    def check_room(self, peer: Peer) -> None:
        """Raise ``Refused(AUTH_UNAVAILABLE)`` when a stranger can't have a turn soon: nothing is asked or hashed then.

        Never blocks, so that a crowd costs next to nothing.
        """
        if peer.ip not in self._familiar:
            self._turns[peer.door].check_room(address_of(peer.ip))

    def smtp_user(self, username: str, password: str, peer: Peer) -> Credential:
        """Let an SMTP user in.

        Raise `Refused`: AUTH_FAILED with one text whatever the cause, ADDRESS_LOCKED, CREDENTIAL_LOCKED,
        AUTH_UNAVAILABLE.
        """
        attempt = Attempt("smtp_user", username.strip().lower(), peer)
        known, secret_id = self._judge(attempt, password, reason=Reason.AUTH_FAILED)
        if problem := _unusable(known, peer):
            refused = Refused(Reason.AUTH_FAILED, cause=problem)
            raise self._failure(attempt, None, refused, Reason.AUTH_UNAVAILABLE)
        self._confirm(attempt)
        return self._success(attempt, known, secret_id)

    def api_key(self, text: str, peer: Peer) -> Credential:
        """Let an API key in.

        Raise `Refused`: KEY_…, ADDRESS_NOT_ALLOWED, ADDRESS_LOCKED, CREDENTIAL_LOCKED (from that address), STORAGE.
        """
        key = parse_api_key(text)
        attempt = Attempt("api_key", key.public_id if key else "", peer)
        known = self._look_up(attempt, unavailable=Reason.STORAGE)
        if key is None:
            raise Refused(Reason.KEY_INVALID, cause="malformed_key")
        digest = digest_secret(key.secret).hex()
        # A key that is not there costs the same comparison.
        secrets = known.secrets if known else ((0, "0" * 64),)
        secret_id = next((id_ for id_, stored in secrets if hmac.compare_digest(stored, digest)), None)
        if known is None or secret_id is None:
            cause = "unknown_key" if known is None else "wrong_secret"
            raise self._failure(attempt, key.secret, Refused(Reason.KEY_INVALID, cause=cause), Reason.STORAGE)
        match _unusable(known, peer):
            case "expired":
                raise Refused(Reason.KEY_EXPIRED)
            case "address_not_allowed":
                raise Refused(Reason.ADDRESS_NOT_ALLOWED, address=peer.ip)
            case str():
                raise Refused(Reason.KEY_REVOKED)
        return self._success(attempt, known, secret_id)

    def admin(self, email: str, password: str, peer: Peer) -> int:
        """Let a person into the panel; return their id.

        Raise `Refused`: LOGIN_FAILED, ADDRESS_LOCKED, CREDENTIAL_LOCKED, AUTH_UNAVAILABLE.
        """
        attempt = Attempt("admin", email.strip().lower(), peer)
        known, _ = self._judge(attempt, password, reason=Reason.LOGIN_FAILED)
        if known.state != "active":
            refused = Refused(Reason.LOGIN_FAILED, cause=known.state)
            raise self._failure(attempt, None, refused, Reason.AUTH_UNAVAILABLE)
        self._confirm(attempt)
        self._note(attempt, known)
        return known.id

    def _judge(self, attempt: Attempt, password: str, *, reason: Reason) -> tuple[_Known, int]:
        """Who it is, and the id of the secret that *password* is; `_confirm` comes next.

        Raise `Refused`: *reason* for a failure.
        """
        known = self._look_up(attempt, unavailable=Reason.AUTH_UNAVAILABLE)
        if known and (secret_id := self._recall(password, known)) is not None:
            return known, secret_id
        turns = self._turns[attempt.peer.door]
        with turns.turn(attempt.address, lambda: self._is_familiar(attempt)) as waited:
            if waited:
                known = self._look_up(attempt, unavailable=Reason.AUTH_UNAVAILABLE)
            secrets = known.secrets if known else ()
            index = turns.run(lambda: matching(password, [stored for _, stored in secrets]))
        if known is None or index is None:
            cause = "unknown_user" if known is None else "wrong_password"
            raise self._failure(attempt, password, Refused(reason, cause=cause), Reason.AUTH_UNAVAILABLE)
        self._remember(password, secrets[index][1])
        return known, secrets[index][0]

    def _look_up(self, attempt: Attempt, *, unavailable: Reason) -> _Known | None:
        """What there is under the attempt's name. Raise `Refused` while a lock is in the way."""

        def look(session: Session) -> _Known | None:
            self._check(session, attempt)
            now = utcnow()
            if attempt.kind == "admin":
                person = session.scalar(select(Admin).where(Admin.email == attempt.name))
                return _person(person) if person else None
            kind = ApiKeyRow if attempt.kind == "api_key" else SmtpUser
            row = session.scalar(select(kind).where(kind.name == attempt.name, kind.deleted_at.is_(None)))
            return _known(row, now) if row else None

        return self._in_session(attempt.peer, look, unavailable=unavailable)

    def _check(self, session: Session, attempt: Attempt) -> None:
        self._locks.check(session, attempt, self._preferences.current(), utcnow())

    def _confirm(self, attempt: Attempt) -> None:
        """Let nobody in through a lock that came while the secret was hashed, however right it is."""
        self._in_session(
            attempt.peer, lambda session: self._check(session, attempt), unavailable=Reason.AUTH_UNAVAILABLE
        )

    def _is_familiar(self, attempt: Attempt) -> bool:
        def ask(session: Session) -> bool:
            return locking.spared(session, attempt, utcnow())

        return self._in_session(attempt.peer, ask, unavailable=Reason.AUTH_UNAVAILABLE)

    def _has_failures(self, attempt: Attempt, known: _Known) -> bool:
        with suppress(*UNAVAILABLE), self._database.session() as session:
            return locking.has_failures(session, attempt, known.id, self._preferences.current(), utcnow())
        return False

    def _in_session(self, peer: Peer, work: Callable[[Session], T], *, unavailable: Reason) -> T:
        try:
            with self._crowded(peer), self._database.session() as session:
                return work(session)
        except UNAVAILABLE:
            raise Refused(unavailable, cause="database_unavailable") from None

    def _crowded(self, peer: Peer) -> AbstractContextManager[object]:
        return nullcontext() if peer.ip in self._familiar else self._few

    def _recall(self, password: str, known: _Known) -> int | None:
        """The id of the remembered secret that *password* is: only for who will be let in, since it is quick."""
        if known.state != "active" or known.networks:
            return None
        digest = self._vault.digest("remembered", password)
        for id_, stored in known.secrets:
            remembered, until = self._remembered.get(stored, (b"", 0.0))
            if until > time.monotonic() and hmac.compare_digest(remembered, digest):
                return id_
        return None

    def _remember(self, password: str, stored: str) -> None:
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[stored] = (self._vault.digest("remembered", password), time.monotonic() + REMEMBERED_SECONDS)

    def _success(self, attempt: Attempt, known: _Known, secret_id: int) -> Credential:
        kind: CredentialKind = "api_key" if attempt.kind == "api_key" else "smtp_user"
        credential = Credential(kind, known.id, known.name, *known.domain, secret_id)
        self._note(attempt, known)
        self._uses.note(credential, attempt.peer)
        return credential

    def _note(self, attempt: Attempt, known: _Known) -> None:
        """Note from where it succeeded. Blocks only when there are failures to clear before the next attempt."""
        self._familiar.add(attempt.address)
        key, now = (attempt.kind, known.id, attempt.address), time.monotonic()
        failed = self._has_failures(attempt, known)
        if not failed and now - self._noted.get(key, -_NOTED_SECONDS) < _NOTED_SECONDS:
            return
        if len(self._noted) >= _MOST_REMEMBERED:
            self._noted.clear()
        self._noted[key] = now
        written = self._writer.submit(lambda session: locking.succeed(session, attempt, known.id, utcnow()))
        if failed:
            written.exception()  # without it the failures go on counting, which is no reason to refuse

    def _failure(self, attempt: Attempt, secret: str | None, refused: Refused, unavailable: Reason) -> Refused:
        """Count the failure before it is answered, so that the next attempt sees it; return the answer.

        No *secret*: it was right, but of no use now or from there, and the answer must take as long. The answer is the
        lock's when one has come meanwhile. A failure that can't be counted is not judged either.
        """
        digest = None if secret is None else self._vault.digest("failure", attempt.kind, attempt.name, secret)
        current = self._preferences.current()
        counted = self._writer.submit(lambda session: self._locks.count(session, attempt, digest, current, utcnow()))
        try:
            refused.counted = counted.result()
        except Refused as locked:
            return locked if locked.reason is not Reason.STORAGE else Refused(unavailable, cause=locked.cause)
        except Exception as error:
            return Refused(unavailable, cause=type(error).__name__)
        return refused


def _known(row: CredentialRow, now: datetime) -> _Known:
    working = tuple((s.id, s.hash) for s in row.secrets if s.expires_at is None or s.expires_at > now)
    domain, networks = (row.domain_id, row.domain.name), tuple(row.allowed_networks)
    return _Known(row.id, row.name, domain, working, row.state(now), networks)


def _person(row: Admin) -> _Known:
    secrets = ((row.id, row.password_hash),) if row.password_hash else ()
    state = "disabled" if row.disabled_at else "active"
    return _Known(row.id, row.email, (0, ""), secrets, state)


def _unusable(known: _Known, peer: Peer) -> str | None:
    if known.state != "active":
        return known.state
    return None if allowed(peer.ip, known.networks) else "address_not_allowed"
