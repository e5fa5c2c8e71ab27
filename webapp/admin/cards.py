"""What is shown once after a secret was made: everything that a program needs to connect."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from webapp.app import gateway_of
from webapp.core.models import ApiKeyRow, SmtpUser
from webapp.settings import PublicSmtp

from .sessions import current_admin


@dataclass(frozen=True, slots=True)
class SmtpCard:
    """How a mail program connects."""

    kind = "smtp_user"
    endpoint: PublicSmtp
    username: str
    password: str
    domain: str
    self_signed: bool

    @property
    def ports(self) -> list[tuple[int, str]]:
        """Each port with the TLS mode that programs call by this name; the first is the one to take."""
        pairs = ((self.endpoint.starttls_port, "STARTTLS"), (self.endpoint.tls_port, "SSL/TLS"))
        return [(port, mode) for port, mode in pairs if port]


@dataclass(frozen=True, slots=True)
class KeyCard:
    """How a program calls the API."""

    kind = "api_key"
    key: str
    base_url: str
    domain: str
    curl: str


def smtp_card(user: SmtpUser, password: str) -> SmtpCard:
    """The card of an SMTP user."""
    settings = gateway_of().settings
    return SmtpCard(settings.smtp_endpoint, user.name, password, user.domain.name, settings.tls_cert is None)


def key_card(row: ApiKeyRow, key: str) -> KeyCard:
    """The card of an API key, with a command that sends a first message to whoever made it."""
    base_url = gateway_of().settings.base_url
    message = {
        "from": f"hello@{row.domain.name}",
        "to": current_admin().email,
        "subject": "Hello from Postlatch",
        "text": "It works.",
    }
    curl = " \\\n  ".join(
        (
            f"curl {base_url}/v1/send",
            f"-H {shlex.quote(f'Authorization: Bearer {key}')}",
            "-H 'Content-Type: application/json'",
            f"-d {shlex.quote(json.dumps(message))}",
        )
    )
    return KeyCard(key, base_url, row.domain.name, curl)
