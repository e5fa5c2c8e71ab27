"""Sending domains: add, vouch for, check, delete."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete as delete_from
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp.core.models import CredentialRow, Domain, DomainRelay, utcnow
from webapp.core.rules.addresses import AddressError, domain_name
from webapp.core.services import audit, hooks
from webapp.core.services.audit import Actor
from webapp.core.services.errors import ServiceError

#: A domain whose ownership record is gone may send for so long: a slip at the DNS host must not stop its mail at once.
GRACE = timedelta(days=7)


def live(session: Session) -> Sequence[Domain]:
    """The domains that are not deleted, by name."""
    return session.scalars(select(Domain).where(Domain.deleted_at.is_(None)).order_by(Domain.name)).all()


def find(session: Session, name: str) -> Domain:
    """The live domain called *name*. Raise `ServiceError` when there is none."""
    try:
        wanted = domain_name(name)
    except AddressError as error:
        raise ServiceError(f"{name} is not a domain name: {error}", field="name") from None
    domain = session.scalar(select(Domain).where(Domain.name == wanted, Domain.deleted_at.is_(None)))
    if domain is None:
        raise ServiceError(f"There is no domain {wanted}: add it first.", field="domain")
    return domain


def add(session: Session, actor: Actor, name: str, *, vouch: bool = False) -> Domain:
    """Add a sending domain. Raise `ServiceError` for a wrong or a known name."""
    try:
        domain = Domain(name=domain_name(name), ownership_token=secrets.token_hex(16))
    except AddressError as error:
        raise ServiceError(f"{name} is not a domain name: {error}", field="name") from None
    try:
        with session.begin_nested():
            session.add(domain)
    except IntegrityError:
        raise ServiceError(f"The domain {domain.name} is here already.", field="name") from None
    audit.record(session, actor, "create", domain)
    if vouch:
        set_vouched(session, actor, domain, vouched=True)
    return domain


def ownership_record(domain: Domain) -> tuple[str, str]:
    """Name and value of the TXT record that proves who controls *domain*."""
    return f"_postlatch.{domain.name}", f"postlatch-verification={domain.ownership_token}"


def note_proof(session: Session, actor: Actor, domain: Domain, *, found: bool) -> None:
    """Note that the domain's `ownership_record` was *found*, or that it surely is not there.

    One that had it and lost it stays verified for `GRACE`; the first look after that ends it.
    """
    now = utcnow()
    if found:
        domain.lost_at = None
        if domain.verified_at is None:
            domain.verified_at = now
            audit.record(session, actor, "verify", domain)
    elif domain.verified_at is not None:
        domain.lost_at = domain.lost_at or now
        if now - domain.lost_at >= GRACE:
            domain.verified_at = domain.lost_at = None
            audit.record(session, actor, "unverify", domain)


def set_vouched(session: Session, actor: Actor, domain: Domain, *, vouched: bool) -> None:
    """Say that *actor* vouches for *domain*, or no longer does: DNS checks then only advise."""
    if vouched == (domain.vouched_at is not None):
        return
    domain.vouched_at = utcnow() if vouched else None
    domain.vouched_by = actor.name if vouched else None
    audit.record(session, actor, "vouch" if vouched else "unvouch", domain)


def delete(session: Session, actor: Actor, domain: Domain) -> None:
    """Delete *domain*; its history stays. Raise `ServiceError`, listing them, while it has credentials."""
    rows = session.scalars(
        select(CredentialRow)
        .where(CredentialRow.domain_id == domain.id, CredentialRow.deleted_at.is_(None))
        .order_by(CredentialRow.kind, CredentialRow.name)
    ).all()
    if rows:
        names = [row.label + (f" ({row.note})" if row.note else "") for row in rows[:10]]
        shown = ", ".join(names) + (f" and {len(rows) - 10} more" if len(rows) > 10 else "")
        raise ServiceError(f"{domain.name} still has credentials: {shown}. Delete them first.")
    hooks.delete_all(session, actor, domain)
    session.execute(delete_from(DomainRelay).where(DomainRelay.domain_id == domain.id))  # its password, too
    domain.deleted_at = utcnow()
    audit.record(session, actor, "delete", domain)
