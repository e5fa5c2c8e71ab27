"""Where credentials are used from, written behind the doors' backs."""

from __future__ import annotations

import threading
import time
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webapp.core.models import CredentialRow, CredentialUse, utcnow
from webapp.core.rules.networks import network_of
from webapp.core.rules.refusals import printable
from webapp.core.rules.submission import Credential, Peer
from webapp.core.services import alerts
from webapp.core.services.group_commit import GroupCommit

#: A credential in steady use is written down again only this often, in seconds.
PACE = 30.0
_MOST_REMEMBERED = 10_000


class Uses:
    """Notes successful log-ins."""

    def __init__(self, writer: GroupCommit) -> None:
        self._writer = writer
        self._lock = threading.Lock()
        self._noted: dict[tuple[int, int, str, str], float] = {}

    def note(self, credential: Credential, peer: Peer) -> None:
        """Note that *credential* was used by *peer*. Never blocks."""
        client = printable(peer.client)
        key = (credential.id, credential.secret_id, peer.ip, client)
        now = time.monotonic()
        with self._lock:
            if now - self._noted.get(key, -PACE) < PACE:
                return
            if len(self._noted) >= _MOST_REMEMBERED:
                self._noted.clear()
            self._noted[key] = now
        at = utcnow()

        def write(session: Session) -> None:
            session.execute(
                update(CredentialRow)
                .where(CredentialRow.id == credential.id)
                .values(last_used_at=at, last_used_ip=peer.ip)
            )
            use = session.scalar(
                select(CredentialUse).where(
                    CredentialUse.credential_id == credential.id,
                    CredentialUse.secret_id == credential.secret_id,
                    CredentialUse.ip == peer.ip,
                    CredentialUse.client == client,
                )
            )
            if use is None:
                _ring(session, credential, peer, client, at)
                session.add(
                    CredentialUse(
                        credential_id=credential.id,
                        secret_id=credential.secret_id,
                        ip=peer.ip,
                        client=client,
                        first_used_at=at,
                        last_used_at=at,
                    )
                )
            else:
                use.last_used_at = at

        self._writer.submit(write)


def _ring(session: Session, credential: Credential, peer: Peer, client: str, at: datetime) -> None:
    """Tell people when a credential that was in use comes from a network where it never came from."""
    seen = session.scalars(select(CredentialUse.ip).where(CredentialUse.credential_id == credential.id)).all()
    here = network_of(peer.ip)
    if not seen or here in map(network_of, seen):
        return
    what = "The SMTP user" if credential.kind == "smtp_user" else "The API key"
    by = f", which calls itself {client}" if client else ""
    text = f"{what} {credential.name} was used for the first time from {peer.ip}{by}. If that is not yours, disable it."
    alerts.happened(
        session, "new_network", f"{credential.kind} {credential.name}", text, at, domain_id=credential.domain_id
    )
