"""Refusals under their references, written behind the doors' backs: a refusal never waits for the database."""

from __future__ import annotations

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.core.models import CredentialRow, Refusal, utcnow
from webapp.core.rules.networks import network_of
from webapp.core.rules.refusals import Refused, printable
from webapp.core.rules.submission import Credential, Peer
from webapp.core.services.group_commit import GroupCommit

log = structlog.get_logger(__name__)


class RefusalLog:
    """Logs each refusal, and stores it for the trace page."""

    def __init__(self, writer: GroupCommit) -> None:
        self._writer = writer

    def note(
        self,
        refused: Refused,
        peer: Peer,
        *,
        credential: Credential | None = None,
        name: str | None = None,
    ) -> None:
        """Note *refused*. Never blocks; a full backlog or a lost database costs the trace only."""
        row = {
            "reference": refused.reference,
            "at": utcnow(),
            "door": peer.door,
            "ip": peer.ip,
            "network": _network(peer.ip),
            "client": printable(peer.client, 255),
            "name": printable(credential.name if credential else name or ""),
            "code": refused.reason.answer.code,
            "cause": refused.cause,
            "counted": refused.counted,
            "text": refused.sentence,
            "trace": refused.trace,
        }
        log.info(
            "refused", reference=refused.reference, door=peer.door, ip=peer.ip, code=row["code"], cause=refused.cause
        )

        typed = None if credential else _typed(peer.door, name)

        def write(session: Session) -> None:
            owner = credential.id if credential else _owner(session, *typed) if typed else None
            session.add(Refusal(**row, credential_id=owner))

        self._writer.submit(write)


def _typed(door: str, name: str | None) -> tuple[str, str] | None:
    """The kind and name of the credential that was meant."""
    kind = {"smtp": "smtp_user", "http": "api_key"}.get(door)
    return (kind, name.strip().lower()) if kind and name and "\0" not in name else None


def _owner(session: Session, kind: str, name: str) -> int | None:
    """The credential under whose name somebody was refused, with a wrong secret too: its owner wants to know."""
    return session.scalar(
        select(CredentialRow.id).where(
            CredentialRow.kind == kind, CredentialRow.name == name, CredentialRow.deleted_at.is_(None)
        )
    )


def _network(ip: str) -> str:
    try:
        return str(network_of(ip))
    except ValueError:  # a connection whose address was never known
        return ip[:49]
