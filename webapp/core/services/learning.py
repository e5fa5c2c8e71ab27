"""Learn, then lock: from where a credential was used, and whom a list of allowed addresses would have shut out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.core.models import CredentialRow, CredentialUse, Message
from webapp.core.rules.networks import Network, allowed

#: How far back addresses are learned from.
LEARNED_FROM = timedelta(days=30)
#: A credential used from more addresses than this is not one to lock to them.
MOST_LEARNED = 100
#: The newest messages that a list is tried on.
TRIED = 200


@dataclass(frozen=True, slots=True)
class Preview:
    """What a list would have done: of the credential's newest `messages`, and of its log-ins in `LEARNED_FROM`.

    `refused` are the addresses of messages that it would have refused, with how many each, most first. `log_ins` are
    other addresses it was used from, with when last.
    """

    messages: int
    refused: tuple[tuple[str, int], ...]
    log_ins: tuple[tuple[str, datetime], ...]

    @property
    def refused_messages(self) -> int:
        """How many of the messages it would have refused."""
        return sum(count for _, count in self.refused)


def addresses_seen(session: Session, row: CredentialRow, now: datetime) -> list[tuple[str, datetime]]:
    """The addresses that *row* was used from in `LEARNED_FROM`, with when last; the latest first."""
    last = func.max(CredentialUse.last_used_at)
    query = (
        select(CredentialUse.ip, last)
        .where(CredentialUse.credential_id == row.id, CredentialUse.last_used_at > now - LEARNED_FROM)
        .group_by(CredentialUse.ip)
        .order_by(last.desc(), CredentialUse.ip)
    )
    return [(ip, used_at) for ip, used_at in session.execute(query)]


def preview(session: Session, row: CredentialRow, networks: Sequence[Network], now: datetime) -> Preview:
    """Try *networks* on what *row* did lately; an empty list refuses nobody."""
    newest = (
        select(Message.client_ip).where(Message.credential_id == row.id).order_by(Message.id.desc()).limit(TRIED)
    ).subquery()
    count = func.count()
    by_address = session.execute(
        select(newest.c.client_ip, count).group_by(newest.c.client_ip).order_by(count.desc(), newest.c.client_ip)
    ).all()
    refused = tuple((ip, messages) for ip, messages in by_address if not allowed(ip, networks))
    named = {ip for ip, _ in refused}
    log_ins = tuple(
        (ip, at) for ip, at in addresses_seen(session, row, now) if ip not in named and not allowed(ip, networks)
    )
    return Preview(sum(messages for _, messages in by_address), refused, log_ins)
