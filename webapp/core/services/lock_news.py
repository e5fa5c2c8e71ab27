"""Who hears of a new lock: the bell in the panel, and the hooks of the domain whose SMTP user it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.core.models import Admin, Lock, SmtpUser
from webapp.core.rules.duration import format_duration
from webapp.core.rules.locks import describe_login
from webapp.core.services import alerts, events


def announce(session: Session, new: Sequence[Lock], *, kind: str, name: str, ip: str, now: datetime) -> None:
    """Tell of what one failure locked, once. *kind* and *name* are of the log-in that was tried, from *ip*.

    Of a log-in that exists its people hear; what strangers try under names that nobody has is one alert an hour.
    """
    if not new:
        return
    user = session.scalar(select(SmtpUser).where(SmtpUser.name == name, SmtpUser.deleted_at.is_(None)))
    by_scope = {lock.scope: lock for lock in new}
    own = by_scope.get("credential") or by_scope.get("pair")
    if own and kind == "smtp_user" and user:
        events.credential_locked(session, username=name, ip=ip, reason=_sentence(own), now=now)
    is_known = user if kind == "smtp_user" else session.scalar(select(Admin.id).where(Admin.email == name))
    if own and is_known and kind != "api_key":
        domain_id = user.domain_id if user and kind == "smtp_user" else None
        alerts.happened(session, "lockout", f"{kind} {name}"[:320], _sentence(own), now, domain_id=domain_id)
    elif address := by_scope.get("address"):
        alerts.happened(session, "lockout", "addresses", _sentence(address), now)


def _sentence(lock: Lock) -> str:
    """Such as "The SMTP user a@example.com is locked out at 192.0.2.1 for 5 minutes after 10 failed log-ins."."""
    what = describe_login(lock.kind, lock.login) if lock.kind and lock.login else f"The address {lock.address}"
    where = f" at {lock.address}" if lock.scope == "pair" else ""
    lasts = format_duration(lock.locked_until - lock.locked_at)
    return f"{what} is locked out{where} for {lasts} after {lock.failures} failed log-ins."
