"""Relays of single domains: each wins over the relay for all and over direct delivery, but not over capture."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.core.models import Domain, DomainRelay
from webapp.core.rules.relay import RelayTarget
from webapp.core.services import audit
from webapp.core.services.audit import SECRET, Actor
from webapp.core.services.vault import Vault


def all_relays(session: Session, vault: Vault) -> dict[int, RelayTarget]:
    """The relays of the domains that have one of their own, by the domain's id."""
    rows = session.execute(select(DomainRelay.domain_id, DomainRelay.url))
    return {domain_id: RelayTarget.parse(vault.decrypt(url)) for domain_id, url in rows}


def set_relay(session: Session, vault: Vault, actor: Actor, domain: Domain, target: RelayTarget | None) -> None:
    """Let the mail of *domain* leave through *target*, or, with None, as all other mail does."""
    row = session.get(DomainRelay, domain.id)
    before = RelayTarget.parse(vault.decrypt(row.url)) if row else None
    if before == target:
        return
    if target is None:
        session.delete(row)
    else:
        row = row or DomainRelay(domain_id=domain.id)
        row.url = vault.encrypt(target.url)
        session.add(row)
    changes: dict[str, object] = {"relay": [before.label if before else None, target.label if target else None]}
    if (before and before.password) != (target and target.password):
        changes["relay_password"] = SECRET
    audit.record(session, actor, "change", domain, **changes)
