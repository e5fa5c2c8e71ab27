"""DKIM keys: made, rotated, retired, and lent to whoever signs.

A new key signs once its record was found in the DNS, or when somebody says so: a signature that nobody can check is
worth nothing, and reports count it as failed. The key before it then stops signing, but its record stays wanted for
`KEPT`, as long as mail that it signed may still be on its way.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.core.database import serialise
from webapp.core.models import Delivery, DeliveryAttempt, DkimKey, Domain, Message, utcnow
from webapp.core.models.delivery import REPORTED
from webapp.core.rules.dkim import PrivateKey, Signer, public_value, signatures
from webapp.core.services import audit
from webapp.core.services.audit import Actor
from webapp.core.services.deliveries import load_source
from webapp.core.services.errors import ServiceError
from webapp.core.services.vault import Vault, VaultError

log = structlog.get_logger(__name__)

ALGORITHMS = {"rsa": "RSA", "ed25519": "Ed25519"}
#: The record of a key that was replaced stays wanted for so long: longer than mail is tried.
KEPT = timedelta(days=7)
#: Keys that a process keeps ready for use.
_READY = 500


def record(key: DkimKey, domain: str) -> tuple[str, str]:
    """Name and value of the TXT record of *key* (RFC 6376 section 3.6.1)."""
    return f"{key.selector}._domainkey.{domain}", f"v=DKIM1; k={key.algorithm}; p={key.public_key}"


def published(session: Session, domain_id: int) -> Sequence[DkimKey]:
    """The keys whose records should be in the DNS, oldest first."""
    query = select(DkimKey).where(DkimKey.domain_id == domain_id, DkimKey.retired_at.is_(None))
    return session.scalars(query.order_by(DkimKey.id)).all()


def ensure(session: Session, vault: Vault, domain: Domain) -> None:
    """Make *domain*'s first key, RSA, unless it has one. Takes a tenth of a second."""
    if not published(session, domain.id):
        _add(session, vault, domain, "rsa", only_first=True)


def add(session: Session, vault: Vault, actor: Actor, domain: Domain, algorithm: str) -> DkimKey:
    """Make a key to take over from the one of its kind, if there is one. Raise `ServiceError`."""
    if algorithm not in ALGORITHMS:
        raise ServiceError("Choose RSA or Ed25519.")
    made = _add(session, vault, domain, algorithm)
    if made is None:
        raise ServiceError(f"A new {ALGORITHMS[algorithm]} key waits for its record already: publish that first.")
    audit.record(session, actor, "add_dkim_key", domain, selector=made.selector, algorithm=algorithm)
    return made


def activate(session: Session, actor: Actor, domain: Domain, key: DkimKey) -> None:
    """Sign with *key* from now on, and no longer with the one of its kind before it."""
    if key.signs_since is not None:
        return
    now = utcnow()
    for other in published(session, domain.id):
        if other.algorithm == key.algorithm and other.signs:
            other.replaced_at = now
    key.signs_since = now
    audit.record(session, actor, "start_dkim_key", domain, selector=key.selector)


def retire(session: Session, actor: Actor, domain: Domain, key: DkimKey) -> None:
    """Let go of *key*: one that signs stops, and its record is wanted for `KEPT` more; another's no longer.

    Raise `ServiceError` for the RSA key that signs: mail would have no signature that everybody understands.
    """
    if key.signs and key.algorithm == "rsa":
        raise ServiceError("This key signs the domain's mail. Make a new one first: it takes over once it is found.")
    if key.signs:
        key.replaced_at = utcnow()
    else:
        key.retired_at = utcnow()
        key.replaced_at = key.replaced_at or key.retired_at
    audit.record(session, actor, "retire_dkim_key", domain, selector=key.selector)


def retire_old(session: Session, actor: Actor, domain: Domain, now: datetime) -> None:
    """Retire the keys that were replaced longer ago than `KEPT`."""
    for key in published(session, domain.id):
        if key.replaced_at is not None and key.replaced_at <= now - KEPT:
            retire(session, actor, domain, key)


class Signing:
    """Signs messages with the keys of their domain. Keeps decrypted keys in memory; for use from any thread."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._ready: dict[int, PrivateKey] = {}

    def of(self, session: Session, message_id: str, at: datetime | None = None) -> Callable[[bytes], bytes]:
        """What gives the signatures of the message as it leaves now, or as it left *at* that instant, from its octets.

        None while no key's record was found. The signature's time is the message's acceptance, so that a retry, and
        whoever looks at the source, has the same octets.
        """
        query = select(DkimKey, Domain.name, Message.created_at).join(Domain, Domain.id == DkimKey.domain_id)
        query = query.join(Message, Message.domain_id == Domain.id).where(Message.id == message_id)
        if at is None:
            query = query.where(DkimKey.signs_since.is_not(None), DkimKey.replaced_at.is_(None))
        else:
            query = query.where(DkimKey.signs_since <= at, DkimKey.replaced_at.is_(None) | (DkimKey.replaced_at > at))
        rows = session.execute(query.order_by(DkimKey.algorithm.desc(), DkimKey.id)).all()
        keys = [(row.selector, domain, self._key(row)) for row, domain, _ in rows]
        signers = [Signer(domain, selector, key) for selector, domain, key in keys if key is not None]
        return partial(signatures, signers=signers, at=rows[0][2]) if rows else _unsigned

    def as_sent(self, session: Session, message: Message) -> bytes | None:
        """The source of *message* with its signatures: as it went out at its last attempt, or would now."""
        source = load_source(session, message.id)
        if source is None or message.captured:
            return source
        last = (
            select(DeliveryAttempt.started_at)
            .join(Delivery, Delivery.id == DeliveryAttempt.delivery_id)
            .where(Delivery.message_id == message.id, DeliveryAttempt.transport != REPORTED)
            .order_by(DeliveryAttempt.id.desc())
            .limit(1)
        )
        return self.of(session, message.id, session.scalar(last))(source) + source

    def _key(self, row: DkimKey) -> PrivateKey | None:
        """The private key; None, and a line in the log, when another app's key encrypted it: the mail still leaves."""
        ready = self._ready.get(row.id)
        if ready is None:
            try:
                ready = _read(self._vault.decrypt(row.private_key))
            except VaultError:
                log.error("dkim_key_unreadable", selector=row.selector)  # noqa: TRY400 - nothing to trace
                return None
            if len(self._ready) >= _READY:
                self._ready.clear()
            self._ready[row.id] = ready
        return ready


def _add(session: Session, vault: Vault, domain: Domain, algorithm: str, *, only_first: bool = False) -> DkimKey | None:
    """Make a key, unless one of its kind waits for its record (or, with *only_first*, unless there is any)."""
    key: PrivateKey = generate_private_key(65537, 2048) if algorithm == "rsa" else Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    serialise(session, f"dkim {domain.id}")
    keys = published(session, domain.id)
    if any(only_first or (other.algorithm == algorithm and other.signs_since is None) for other in keys):
        return None
    made = DkimKey(
        domain_id=domain.id,
        selector=f"pl{secrets.token_hex(4)}",
        algorithm=algorithm,
        private_key=vault.encrypt(pem),
        public_key=public_value(key),
    )
    session.add(made)
    session.flush()
    return made


def _unsigned(_source: bytes) -> bytes:
    return b""


def _read(pem: str) -> PrivateKey:
    # We made it ourselves: checking an RSA key costs more than a signature.
    key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, PrivateKey):
        raise TypeError("neither RSA nor Ed25519")
    return key
