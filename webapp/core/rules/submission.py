"""What travels between a door and the acceptance path: plain values, the same for every door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from webapp.core.rules.linked_files import LinkedFile

Door = Literal["smtp", "http", "panel"]
CredentialKind = Literal["smtp_user", "api_key"]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the door: the client's address as `webapp.net.client_address` tells it, and what it says of itself.

    `client` is the EHLO name or the user agent; `protocol` is a Received header's "with" value (RFC 3848:
    ``ESMTPSA``; ``HTTP`` for the API).
    """

    door: Door
    ip: str
    client: str = ""
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class Credential:
    """Who was let in.

    `name` is the SMTP username or the API key's public id; `secret_id` tells an old secret from a new one.
    """

    kind: CredentialKind
    id: int
    name: str
    domain_id: int
    domain: str
    secret_id: int


@dataclass(frozen=True, slots=True)
class Submission:
    """One message as a door took it in, before any rule was applied.

    `source` is the message as it came (any line endings; RFC 5322). `recipients` are the envelope's (RFC 5321), in
    order. `smtputf8` says that the client announced SMTPUTF8 (RFC 6531), or came through a door without that notion.
    `metadata` is a JSON object of strings. `idempotency_digest` stands for the whole request, to tell a repeat
    from another message under the same key. *links* are files still to be fetched, whose stand-ins *source* has.
    """

    credential: Credential
    peer: Peer
    envelope_from: str
    recipients: tuple[str, ...]
    source: bytes
    smtputf8: bool = True
    tag: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    send_at: datetime | None = None
    idempotency_key: str | None = None
    idempotency_digest: bytes | None = None
    links: tuple[LinkedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The receipt: the message is on disk. `repeated` is true when an idempotency key had brought it before."""

    id: str
    status: str
    domain: str
    from_email: str
    recipients: tuple[str, ...]
    created_at: datetime
    repeated: bool = False
