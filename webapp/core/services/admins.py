"""People who may open the panel, and the one-time links with which they choose a password."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal, get_args

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp.core.models import Admin, AdminSession, OneTimeLink, utcnow
from webapp.core.rules.addresses import AddressError, parse_address
from webapp.core.rules.passwords import password_problems
from webapp.core.rules.submission import Peer
from webapp.core.services import audit, locks
from webapp.core.services.audit import SECRET, Actor
from webapp.core.services.errors import ServiceError
from webapp.core.services.failures import Attempt
from webapp.core.services.hashing import hash_password

Role = Literal["owner", "manager", "viewer"]
LINK_LIFE = timedelta(hours=1)


def any_admin(session: Session) -> bool:
    """Whether anybody can log in yet."""
    return session.scalar(select(func.count()).select_from(Admin)) != 0


def create(session: Session, actor: Actor, *, email: str, role: str = "owner", password: str | None = None) -> Admin:
    """Add a person; without *password* they need a link (`new_link`). Raise `ServiceError`."""
    if role not in get_args(Role):
        raise ServiceError("The role is owner, manager or viewer.", field="role")
    try:
        address = parse_address(email.strip()).lower()
    except AddressError as error:
        raise ServiceError(f"{email} is not an e-mail address: {error}.", field="email") from None
    admin = Admin(email=address, role=role, password_hash=_checked_hash(password) if password is not None else None)
    try:
        with session.begin_nested():
            session.add(admin)
    except IntegrityError:
        raise ServiceError(f"{address} is here already.", field="email") from None
    audit.record(session, actor, "create", admin, role=role)
    return admin


def find(session: Session, email: str) -> Admin:
    """The person with that address. Raise `ServiceError` when there is none."""
    admin = session.scalar(select(Admin).where(Admin.email == email.strip().lower()))
    if admin is None:
        raise ServiceError(f"There is nobody called {email} here.", field="email")
    return admin


def set_password(session: Session, actor: Actor, admin: Admin, password: str, *, keep: bytes | None = None) -> None:
    """Set a password and end the person's sessions, but the one with token digest *keep*. Raise `ServiceError`."""
    admin.password_hash = _checked_hash(password)
    end_sessions(session, admin, keep=keep)
    audit.record(session, actor, "change", admin, password=SECRET)


def set_role(session: Session, actor: Actor, admin: Admin, role: str) -> None:
    """Change the role. Raise `ServiceError` when nobody would be left as owner."""
    if role not in get_args(Role):
        raise ServiceError("The role is owner, manager or viewer.", field="role")
    if role != admin.role:
        if role != "owner":
            _keep_an_owner(session, admin)
        before, admin.role = admin.role, role
        audit.record(session, actor, "change", admin, role=[before, role])


def set_disabled(session: Session, actor: Actor, admin: Admin, *, disabled: bool) -> None:
    """Disable or enable a person; disabling ends their sessions. Raise `ServiceError` for the last owner."""
    if disabled == (admin.disabled_at is not None):
        return
    if disabled:
        _keep_an_owner(session, admin)
        end_sessions(session, admin)
    admin.disabled_at = utcnow() if disabled else None
    audit.record(session, actor, "disable" if disabled else "enable", admin)


def remove(session: Session, actor: Actor, admin: Admin) -> None:
    """Delete a person; the audit log keeps the name. Raise `ServiceError` for the last owner."""
    _keep_an_owner(session, admin)
    audit.record(session, actor, "delete", admin)
    session.delete(admin)


def end_sessions(session: Session, admin: Admin, *, keep: bytes | None = None) -> None:
    """Log the person out everywhere, except in the session with token digest *keep*."""
    gone = delete(AdminSession).where(AdminSession.admin_id == admin.id)
    session.execute(gone if keep is None else gone.where(AdminSession.token_digest != keep))


def new_link(session: Session, actor: Actor, admin: Admin) -> str:
    """A token with which *admin* chooses a new password once, within `LINK_LIFE`. Ends earlier links and sessions."""
    session.execute(delete(OneTimeLink).where(OneTimeLink.admin_id == admin.id))
    end_sessions(session, admin)
    token = _store_link(session, admin.id)
    audit.record(session, actor, "reset", admin)
    return token


def setup_link(session: Session) -> str | None:
    """A token for the first owner, or None when there is one already. Every call makes the earlier token useless."""
    if any_admin(session):
        return None
    session.execute(delete(OneTimeLink).where(OneTimeLink.admin_id.is_(None)))
    return _store_link(session, None)


def find_link(session: Session, token: str, now: datetime) -> OneTimeLink | None:
    """The link that *token* opens, if it still does."""
    link = session.get(OneTimeLink, _digest(token))
    if link is None or link.expires_at <= now or (link.admin_id is None and any_admin(session)):
        return None
    return link


def use_link(session: Session, link: OneTimeLink, *, password: str, email: str | None = None, ip: str = "") -> Admin:
    """Set the password that *link* allows, or make the first owner; the link is used up. Raise `ServiceError`."""
    if link.admin_id is None:
        actor = Actor((email or "").strip().lower()[:254] or "setup", ip)
        admin = create(session, actor, email=email or "", role="owner", password=password)
    else:
        admin = session.get_one(Admin, link.admin_id)
        set_password(session, Actor(admin.email, ip), admin, password)
    session.delete(link)
    locks.succeed(session, Attempt("admin", admin.email, Peer("panel", ip)), admin.id, utcnow())
    return admin


def _store_link(session: Session, admin_id: int | None) -> str:
    token = secrets.token_urlsafe(32)
    # The setup link of a first start waits for its owner; a reset link is sent to somebody who asked for it.
    life = LINK_LIFE if admin_id else timedelta(days=1)
    session.add(OneTimeLink(token_digest=_digest(token), admin_id=admin_id, expires_at=utcnow() + life))
    session.flush()
    return token


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "replace")).digest()


def _checked_hash(password: str) -> str:
    if problems := password_problems(password):
        raise ServiceError(" ".join(problems), field="password")
    return hash_password(password)


def _keep_an_owner(session: Session, admin: Admin) -> None:
    others = select(func.count()).where(Admin.role == "owner", Admin.disabled_at.is_(None), Admin.id != admin.id)
    if admin.role == "owner" and not session.scalar(others):
        raise ServiceError("This is the only owner: make somebody else an owner first.")
