"""Who is asking? The one place where a secret is judged, for SMTP users, API keys and panel log-ins.

State, expiry, allowed addresses and locks are read at every attempt. A locked address is refused before anything
is hashed. A wrong password and an unknown name take equally long and look alike from outside.
"""

from __future__ import annotations

import hmac
import time
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.core.database import UNAVAILABLE, Database
from webapp.core.models import Admin, ApiKeyRow, CredentialRow, SmtpUser, utcnow
from webapp.core.rules.api_keys import digest_secret, parse_api_key
from webapp.core.rules.networks import allowed
from webapp.core.rules.refusals import Reason, Refused, new_reference
from webapp.core.rules.submission import Credential, CredentialKind, Peer
from webapp.core.services.group_commit import GroupCommit
from webapp.core.services.hashing import matching
from webapp.core.services.locks import Failure, Locks
from webapp.core.services.preferences import Preferences
from webapp.core.services.uses import Uses
from webapp.core.services.vault import Vault

#: How long a verified password is remembered, in seconds, as a keyed digest in memory.
REMEMBERED_SECONDS = 300.0
_MOST_REMEMBERED = 5_000


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database says of a name at this moment. `secrets` are (id, hash) of those that work now."""

    credential: tuple[int, str, int, str]  # id, name, domain id, domain
    secrets: tuple[tuple[int, str], ...]
    state: str
    networks: tuple[str, ...]


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
    ) -> None:
        self._database = database
        self._preferences = preferences
        self._locks = locks
        self._vault = vault
        self._writer = writer
        self._uses = uses
        self._remembered: dict[str, tuple[bytes, float]] = {}

    def check_address(self, peer: Peer) -> None:
        """Raise ``Refused(ADDRESS_LOCKED)`` while the peer's address is locked, `UNAVAILABLE` without a database."""
        with self._database.session() as session:
            self._locks.check(session, peer.ip, utcnow())

    def smtp_user(self, username: str, password: str, peer: Peer) -> Credential:
        """Let an SMTP user in.

        Raise `Refused`: AUTH_FAILED with one text whatever the cause, ADDRESS_LOCKED, AUTH_UNAVAILABLE.
        """
        name = username.strip().lower()
        known = self._look_up(SmtpUser, name, peer, unavailable=Reason.AUTH_UNAVAILABLE)
        secret_id = self._match_password(password, known)
        if known is None or secret_id is None:
            cause = "unknown_user" if known is None else "wrong_password"
            raise self._failure("smtp_user", name, password, peer, cause=cause, reason=Reason.AUTH_FAILED)
        if problem := _unusable(known, peer):
            raise Refused(Reason.AUTH_FAILED, cause=problem)
        return self._success("smtp_user", known, secret_id, peer)

    def api_key(self, text: str, peer: Peer) -> Credential:
        """Let an API key in. Raise `Refused`: KEY_…, ADDRESS_NOT_ALLOWED, ADDRESS_LOCKED, STORAGE."""
        key = parse_api_key(text)
        known = self._look_up(ApiKeyRow, key.public_id if key else "", peer, unavailable=Reason.STORAGE)
        if key is None:
            raise Refused(Reason.KEY_INVALID, cause="malformed_key")
        digest = digest_secret(key.secret).hex()
        # A key that is not there costs the same comparison.
        secrets = known.secrets if known else ((0, "0" * 64),)
        secret_id = next((id_ for id_, stored in secrets if hmac.compare_digest(stored, digest)), None)
        if known is None or secret_id is None:
            cause = "unknown_key" if known is None else "wrong_secret"
            raise self._failure("api_key", key.public_id, key.secret, peer, cause=cause, reason=Reason.KEY_INVALID)
        match _unusable(known, peer):
            case "expired":
                raise Refused(Reason.KEY_EXPIRED)
            case "address_not_allowed":
                raise Refused(Reason.ADDRESS_NOT_ALLOWED, address=peer.ip)
            case str():
                raise Refused(Reason.KEY_REVOKED)
        return self._success("api_key", known, secret_id, peer)

    def admin(self, email: str, password: str, peer: Peer) -> int:
        """Let a person into the panel; return their id. Raise `Refused`: LOGIN_FAILED, ADDRESS_LOCKED, STORAGE."""
        name = email.strip().lower()
        try:
            with self._database.session() as session:
                self._locks.check(session, peer.ip, utcnow())
                row = session.scalar(select(Admin).where(Admin.email == name))
                hashes = [row.password_hash] if row and row.password_hash else []
                admin_id, disabled = (row.id, row.disabled_at is not None) if row else (0, False)
        except UNAVAILABLE:
            raise Refused(Reason.STORAGE, cause="database_unavailable") from None
        if matching(password, hashes) is None:
            cause = "wrong_password" if admin_id else "unknown_user"
            raise self._failure("admin", name, password, peer, cause=cause, reason=Reason.LOGIN_FAILED)
        if disabled:
            raise Refused(Reason.LOGIN_FAILED, cause="disabled")
        return admin_id

    def _look_up(self, kind: type[CredentialRow], name: str, peer: Peer, *, unavailable: Reason) -> _Known | None:
        try:
            with self._database.session() as session:
                now = utcnow()
                self._locks.check(session, peer.ip, now)
                row = session.scalar(select(kind).where(kind.name == name, kind.deleted_at.is_(None))) if name else None
                return _known(row, now) if row else None
        except UNAVAILABLE:
            raise Refused(unavailable, cause="database_unavailable") from None

    def _match_password(self, password: str, known: _Known | None) -> int | None:
        """The id of the secret that *password* is. A remembered one is used only where it will be let in."""
        secrets = known.secrets if known else ()
        digest = self._vault.digest("remembered", password)
        for id_, stored in secrets:
            remembered, until = self._remembered.get(stored, (b"", 0.0))
            usable = known and known.state == "active" and not known.networks and until > time.monotonic()
            if usable and hmac.compare_digest(remembered, digest):
                return id_
        index = matching(password, [stored for _, stored in secrets])
        if index is None:
            return None
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[secrets[index][1]] = (digest, time.monotonic() + REMEMBERED_SECONDS)
        return secrets[index][0]

    def _success(self, kind: CredentialKind, known: _Known, secret_id: int, peer: Peer) -> Credential:
        id_, name, domain_id, domain = known.credential
        credential = Credential(kind, id_, name, domain_id, domain, secret_id)
        self._uses.note(credential, peer)
        return credential

    def _failure(self, kind: str, name: str, secret: str, peer: Peer, *, cause: str, reason: Reason) -> Refused:
        """Count the failure before it is answered, so that the next attempt sees it."""
        reference = new_reference()
        failure = Failure(kind, name, self._vault.digest("failure", kind, name, secret), peer, cause, reference)
        current, now = self._preferences.current(), utcnow()

        def write(session: Session) -> None:
            self._locks.fail(session, failure, current, now)

        _wait(self._writer.submit(write))
        return Refused(reason, cause=cause, reference=reference)


def _known(row: CredentialRow, now: datetime) -> _Known:
    working = tuple((s.id, s.hash) for s in row.secrets if s.expires_at is None or s.expires_at > now)
    return _Known(
        (row.id, row.name, row.domain_id, row.domain.name), working, row.state(now), tuple(row.allowed_networks)
    )


def _unusable(known: _Known, peer: Peer) -> str | None:
    if known.state != "active":
        return known.state
    return None if allowed(peer.ip, known.networks) else "address_not_allowed"


def _wait(future: Future[None]) -> None:
    # A failure that can't be written must not let anybody in, nor turn a wrong password into a server error.
    future.exception()
