"""Refusals under their references, written behind the doors' backs: a refusal never waits for the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from webapp.core.models import CredentialRow, Refusal, utcnow
from webapp.core.rules.networks import network_of
from webapp.core.rules.refusals import Refused, printable
from webapp.core.rules.submission import Credential, Peer
from webapp.core.services.group_commit import GroupCommit, Together

log = structlog.get_logger(__name__)

#: Refusals that may wait to be written; of more there is only the log's line.
MOST_WAITING = 2_000


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row to write. `credential_id`, or the kind and name of the credential that was meant."""

    row: dict[str, Any]
    credential_id: int | None
    typed: tuple[str, str] | None


class RefusalLog:
    """Logs each refusal, and stores it for the trace page; those that come while one is written share a write."""

    def __init__(self, writer: GroupCommit) -> None:
        self._rows = Together(writer, _write)

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
        if len(self._rows) < MOST_WAITING:
            self._rows.submit(_Entry(row, credential.id if credential else None, typed))


def _write(session: Session, entries: Sequence[_Entry]) -> None:
    owners = _owners(session, {entry.typed for entry in entries if entry.typed})
    rows = [{**e.row, "credential_id": owners.get(e.typed) if e.typed else e.credential_id} for e in entries]
    session.execute(insert(Refusal), rows)


def _typed(door: str, name: str | None) -> tuple[str, str] | None:
    """The kind and name of the credential that was meant."""
    kind = {"smtp": "smtp_user", "http": "api_key"}.get(door)
    return (kind, name.strip().lower()) if kind and name and "\0" not in name else None


def _owners(session: Session, typed: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """The credentials under whose names somebody was refused, with a wrong secret too: their owners want to know."""
    if not typed:
        return {}
    found = session.execute(
        select(CredentialRow.kind, CredentialRow.name, CredentialRow.id).where(
            CredentialRow.name.in_({name for _, name in typed}), CredentialRow.deleted_at.is_(None)
        )
    )
    return {(kind, name): id_ for kind, name, id_ in found}


def _network(ip: str) -> str:
    try:
        return str(network_of(ip))
    except ValueError:  # a connection whose address was never known
        return ip[:49]
