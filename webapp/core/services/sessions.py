"""The panel's log-ins, kept on the server so that logging out, a reset or disabling a person ends them at once.

The browser holds a random token of 256 bits; the table holds its SHA-256 only, so that a copy of the database opens
no session.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from webapp.core.models import Admin, AdminSession
from webapp.core.rules.refusals import printable
from webapp.core.services import audit
from webapp.core.services.audit import Actor

#: A session ends after so long without a request, and in any case after `LONGEST`.
IDLE = timedelta(hours=12)
LONGEST = timedelta(days=7)
#: `touch` is called at most this often for one session: a page view must not cost a write.
TOUCH_EVERY = timedelta(minutes=1)


def digest(token: str) -> bytes:
    """What the table knows of *token*."""
    return sha256(token.encode("utf-8", "replace")).digest()


def start(session: Session, admin: Admin, *, ip: str, client: str, now: datetime, replaces: str = "") -> str:
    """Log *admin* in and return the new token. The session of the token that it *replaces* ends."""
    if replaces:
        session.execute(delete(AdminSession).where(AdminSession.token_digest == digest(replaces)))
    token = secrets.token_urlsafe(32)
    session.add(
        AdminSession(
            token_digest=digest(token),
            admin_id=admin.id,
            ip=ip,
            user_agent=printable(client, 255),
            created_at=now,
            last_seen_at=now,
            expires_at=now + LONGEST,
        )
    )
    admin.last_login_at = now
    audit.record(session, Actor(admin.email, ip), "login", admin)
    return token


def find(session: Session, token: str, now: datetime) -> AdminSession | None:
    """The session that *token* opens, with its admin, if it still does."""
    if not token:
        return None
    return session.scalar(
        select(AdminSession)
        .join(AdminSession.admin)
        .where(
            AdminSession.token_digest == digest(token),
            AdminSession.expires_at > now,
            AdminSession.last_seen_at > now - IDLE,
            Admin.disabled_at.is_(None),
        )
    )


def touch(session: Session, token_digest: bytes, now: datetime) -> None:
    """Note that the session was used at *now*."""
    session.execute(
        update(AdminSession).where(AdminSession.token_digest == token_digest).values(last_seen_at=now),
        execution_options={"synchronize_session": False},
    )


def end(session: Session, actor: Actor, token: str) -> None:
    """Log out: the token opens nothing any more."""
    found = session.get(AdminSession, digest(token))
    if found is not None:
        audit.record(session, actor, "logout", found.admin)
        session.delete(found)
