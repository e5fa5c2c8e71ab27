"""Credentials: create, change, rotate, delete. Every function audits, flushes, and leaves the commit to its caller."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import delete as delete_from
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp.core.models import ApiKeyRow, CredentialRow, CredentialSecret, CredentialUse, Domain, SmtpUser, utcnow
from webapp.core.rules.addresses import AddressError, parse_address
from webapp.core.rules.api_keys import ApiKey, digest_secret, new_api_key
from webapp.core.rules.networks import NetworkError, parse_networks
from webapp.core.rules.passwords import generate_password, password_problems
from webapp.core.services import audit
from webapp.core.services.audit import SECRET, Actor
from webapp.core.services.errors import ServiceError
from webapp.core.services.hashing import hash_password

Row = TypeVar("Row", bound=CredentialRow)

#: How long the old secret works on after a rotation, unless the admin says otherwise.
USUAL_GRACE = timedelta(days=7)


def create_smtp_user(
    session: Session,
    actor: Actor,
    *,
    domain: Domain,
    username: str,
    password: str | None = None,
    note: str = "",
    allowed: str = "",
    expires_at: datetime | None = None,
) -> tuple[SmtpUser, str]:
    """Create an SMTP user; without *password* one is generated. Return the row and the password, to be shown once.

    Raise `ServiceError` naming the field that is wrong.
    """
    name = _username(username)
    password = _chosen_password(password)
    user = SmtpUser(
        domain_id=domain.id, name=name, note=_note(note), allowed_networks=_networks(allowed), expires_at=expires_at
    )
    user.secrets = [CredentialSecret(hash=hash_password(password))]
    try:
        with session.begin_nested():
            session.add(user)
    except IntegrityError:
        raise ServiceError(f"There is an SMTP user {name} already: choose another.", field="name") from None
    audit.record(session, actor, "create", user, domain=domain.name, note=user.note, password=SECRET)
    return user, password


def create_api_key(
    session: Session,
    actor: Actor,
    *,
    domain: Domain,
    note: str = "",
    allowed: str = "",
    expires_at: datetime | None = None,
) -> tuple[ApiKeyRow, str]:
    """Create an API key. Return the row and the whole key, to be shown once. Raise `ServiceError`."""
    key = new_api_key()
    row = ApiKeyRow(
        domain_id=domain.id,
        name=key.public_id,
        note=_note(note),
        allowed_networks=_networks(allowed),
        expires_at=expires_at,
    )
    row.secrets = [CredentialSecret(hash=digest_secret(key.secret).hex())]
    session.add(row)
    audit.record(session, actor, "create", row, domain=domain.name, note=row.note, key=SECRET)
    return row, key.text


def find(session: Session, kind: type[Row], name: str) -> Row:
    """The live credential of *kind* called *name*. Raise `ServiceError` when there is none."""
    row = session.scalar(select(kind).where(kind.name == name.lower(), kind.deleted_at.is_(None)))
    if row is None:
        raise ServiceError(f"There is no {_kind_words(kind)} {name}.")
    return row


def set_note(session: Session, actor: Actor, row: CredentialRow, note: str) -> None:
    """Change the note. Raise `ServiceError` when it is too long."""
    _change(session, actor, row, "note", _note(note))


def set_allowed_networks(session: Session, actor: Actor, row: CredentialRow, text: str) -> None:
    """Set the allowed addresses and ranges; an empty list opens the lock. Raise `ServiceError` naming the line."""
    _change(session, actor, row, "allowed_networks", _networks(text))


def set_expiry(session: Session, actor: Actor, row: CredentialRow, expires_at: datetime | None) -> None:
    """Set when it stops to work, or None for never."""
    before = row.expires_at
    if before != expires_at:
        row.expires_at = expires_at
        audit.record(
            session, actor, "change", row, expires_at=[t.isoformat() if t else None for t in (before, expires_at)]
        )


def set_dsn_on_failure(session: Session, actor: Actor, row: SmtpUser, wanted: bool) -> None:
    """Set whether senders are told by mail when theirs finally fails."""
    _change(session, actor, row, "dsn_on_failure", wanted)


def set_disabled(session: Session, actor: Actor, row: CredentialRow, *, disabled: bool) -> None:
    """Disable or enable it, at once and in every process."""
    if disabled != (row.disabled_at is not None):
        row.disabled_at = utcnow() if disabled else None
        audit.record(session, actor, "disable" if disabled else "enable", row)


def rotate(
    session: Session,
    actor: Actor,
    row: CredentialRow,
    *,
    password: str | None = None,
    grace: timedelta = USUAL_GRACE,
) -> str:
    """Give it a new secret, returned to be shown once; the old one works until *grace* has passed (zero: not at all).

    A secret that was already in its grace period ends now: there are never more than two. Raise `ServiceError`.
    """
    current = row.secrets[0] if row.secrets else None
    if isinstance(row, SmtpUser):
        text = _chosen_password(password)
        new_hash = hash_password(text, beside=current.hash if current else None)
    else:
        key = ApiKey(row.name, new_api_key().secret)
        text, new_hash = key.text, digest_secret(key.secret).hex()
    row.secrets = [secret for secret in (current,) if secret and grace > timedelta(0)]
    for secret in row.secrets:
        secret.expires_at = utcnow() + grace
    row.secrets.insert(0, CredentialSecret(hash=new_hash))
    audit.record(session, actor, "rotate", row, secret=SECRET, grace_seconds=round(grace.total_seconds()))
    session.flush()
    session.refresh(row)
    return text


def end_grace(session: Session, actor: Actor, row: CredentialRow) -> None:
    """End the old secret's grace period now."""
    row.secrets = row.secrets[:1]
    audit.record(session, actor, "end_grace", row)


def delete(session: Session, actor: Actor, row: CredentialRow) -> None:
    """Delete it. The row stays for the history that names it; its secrets go."""
    row.deleted_at = utcnow()
    row.secrets = []
    session.execute(delete_from(CredentialUse).where(CredentialUse.credential_id == row.id))
    audit.record(session, actor, "delete", row)


def old_secret_uses(session: Session, row: CredentialRow) -> list[CredentialUse]:
    """The clients that used the old secret since the rotation: those still to be changed over."""
    if len(row.secrets) < 2:
        return []
    new, old = row.secrets[0], row.secrets[1]
    return list(
        session.scalars(
            select(CredentialUse)
            .where(CredentialUse.secret_id == old.id, CredentialUse.last_used_at >= new.created_at)
            .order_by(CredentialUse.last_used_at.desc())
        )
    )


def _change(session: Session, actor: Actor, row: CredentialRow, field: str, value: object) -> None:
    before = getattr(row, field)
    if before != value:
        setattr(row, field, value)
        audit.record(session, actor, "change", row, **{field: [before, value]})


def _username(text: str) -> str:
    try:
        return parse_address(text.strip()).lower()
    except AddressError as error:
        raise ServiceError(f"The username must look like an e-mail address: {error}.", field="name") from None


def _chosen_password(password: str | None) -> str:
    if password is None:
        return generate_password()
    if problems := password_problems(password):
        raise ServiceError(" ".join(problems), field="password")
    return password


def _note(text: str) -> str:
    note = " ".join(text.split())
    if len(note) > 500:
        raise ServiceError("The note is too long: at most 500 characters.", field="note")
    return note


def _networks(text: str | Iterable[str]) -> list[str]:
    try:
        return [str(network) for network in parse_networks(text if isinstance(text, str) else "\n".join(text))]
    except NetworkError as error:
        raise ServiceError(str(error), field="allowed_networks") from None


def _kind_words(kind: type[CredentialRow]) -> str:
    return "SMTP user" if kind is SmtpUser else "API key"
