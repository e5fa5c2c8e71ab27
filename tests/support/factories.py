"""What most tests start from: a domain, an SMTP user, an API key, a submission."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from webapp.core.rules.submission import Credential, Peer, Submission
from webapp.core.services import credentials, domains
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway

PASSWORD = "Tr0mbone-Sky!"
#: What the panel's people log in with.
PANEL_PASSWORD = "Correct-Horse!"
OFFICE = Peer(door="smtp", ip="192.0.2.10", client="printer.example.com", protocol="ESMTPSA")


def make_domain(gateway: Gateway, name: str = "example.com", *, vouch: bool = False) -> int:
    """Add a domain; return its id."""
    with gateway.database.session() as session:
        domain = domains.add(session, COMMAND_LINE, name, vouch=vouch)
        session.flush()
        return domain.id


def make_smtp_user(
    gateway: Gateway,
    username: str = "printer@example.com",
    *,
    domain: str = "example.com",
    password: str = PASSWORD,
    allowed: str = "",
    expires_at: datetime | None = None,
) -> int:
    """Add an SMTP user; return its id."""
    with gateway.database.session() as session:
        user, _ = credentials.create_smtp_user(
            session,
            COMMAND_LINE,
            domain=domains.find(session, domain),
            username=username,
            password=password,
            allowed=allowed,
            expires_at=expires_at,
        )
        return user.id


def make_api_key(gateway: Gateway, *, domain: str = "example.com", **values: Any) -> tuple[int, str]:
    """Add an API key; return its id and the whole key."""
    with gateway.database.session() as session:
        row, key = credentials.create_api_key(session, COMMAND_LINE, domain=domains.find(session, domain), **values)
        session.flush()
        return row.id, key


def source(sender: str = "shop@example.com", *, extra: str = "", body: str = "Hello.\r\n") -> bytes:
    """A small message."""
    return f"From: Shop <{sender}>\r\nTo: ann@example.org\r\nSubject: Your order\r\n{extra}\r\n{body}".encode()


def submission(credential: Credential, **values: Any) -> Submission:
    """A submission by *credential*; keyword arguments override."""
    defaults: dict[str, Any] = {
        "credential": credential,
        "peer": OFFICE,
        "envelope_from": "shop@example.com",
        "recipients": ("ann@example.org",),
        "source": source(),
    }
    return Submission(**(defaults | values))
