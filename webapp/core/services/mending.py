"""What those buttons of the trace do that have no page of their own. Each audits; the caller commits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy.orm import Session

from webapp.core.models import CredentialRow, Domain
from webapp.core.rules.networks import allowed
from webapp.core.services import credentials, domains
from webapp.core.services.audit import Actor
from webapp.core.services.errors import ServiceError

#: By how much a credential's life is extended.
EXTENSION = timedelta(days=90)
#: Who may do what, at the least.
ROLES = {
    "allow": "manager",
    "enable": "manager",
    "extend": "manager",
    "vouch": "owner",
}


def mend(session: Session, actor: Actor, action: str, fields: Mapping[str, str], *, now: datetime) -> str:
    """Do *action* and return what to tell. Raise `ServiceError` when what it is about is gone."""
    match action:
        case "allow":
            row, ip = _credential(session, fields), fields.get("ip", "")
            if row.allowed_networks and not allowed(ip, row.allowed_networks):
                credentials.set_allowed_networks(session, actor, row, "\n".join([*row.allowed_networks, ip]))
            return f"{row.name} may be used from {ip} now."
        case "enable":
            row = _credential(session, fields)
            credentials.set_disabled(session, actor, row, disabled=False)
            return f"{row.name} was enabled."
        case "extend":
            row = _credential(session, fields)
            credentials.set_expiry(session, actor, row, now + EXTENSION)
            return f"{row.name} works for {EXTENSION.days} more days."
        case "vouch":
            domain = _row(session, Domain, fields.get("domain"))
            domains.set_vouched(session, actor, domain, vouched=True)
            return f"You vouch for {domain.name} now: its mail may leave."
    raise ServiceError("This can't be done here.")


def _credential(session: Session, fields: Mapping[str, str]) -> CredentialRow:
    row = _row(session, CredentialRow, fields.get("credential"))
    if row.deleted_at:
        raise ServiceError("This credential was deleted meanwhile.")
    return row


T = TypeVar("T", Domain, CredentialRow)


def _row(session: Session, model: type[T], text: str | None) -> T:
    row = session.get(model, int(text)) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
    if row is None:
        raise ServiceError("What this was about is no longer there.")
    return row
