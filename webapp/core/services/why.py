"""Why was it refused? What the trace page and ``flask why`` know of a reference or an address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.core.models import CredentialRow, Lock, Refusal
from webapp.core.rules.explanations import Explanation, explain, read_question
from webapp.core.rules.networks import lock_subject, normalise_ip
from webapp.core.services.locks import ADDRESS

#: Refusals that are listed for one address.
MOST_RECENT = 25


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known. `lock` is the one in force on `ip`, `recent` are the address's refusals, newest first."""

    refusal: Refusal | None = None
    explanation: Explanation | None = None
    credential: CredentialRow | None = None
    ip: str | None = None
    lock: Lock | None = None
    recent: Sequence[Refusal] = ()


def why(session: Session, question: str, now: datetime) -> Answer | None:
    """Look up a reference or an address; None when *question* is neither.

    A reference that is not there, or is no longer kept, gives an `Answer` without a refusal and an address.
    """
    asked = read_question(question)
    if asked is None:
        return None
    if isinstance(asked, str):
        refusal = session.get(Refusal, asked)
        if refusal is None:
            return Answer()
        found = session.get(CredentialRow, refusal.credential_id) if refusal.credential_id else None
        explanation = explain(refusal.code, refusal.cause)
        return Answer(refusal, explanation, found, refusal.ip, _lock(session, refusal.ip, now))
    ip = str(asked)
    return Answer(ip=ip, lock=_lock(session, ip, now), recent=recent(session, ip=ip))


def recent(session: Session, *, ip: str | None = None, limit: int = MOST_RECENT) -> Sequence[Refusal]:
    """The newest refusals, of *ip* or of all."""
    query = select(Refusal).order_by(Refusal.at.desc()).limit(limit)
    return session.scalars(query.where(Refusal.ip == ip) if ip else query).all()


def last_of(session: Session, credential_ids: Sequence[int]) -> dict[int, Refusal]:
    """The last refusal of each of these credentials that has one, in one query: by the credential's id."""
    last = (
        select(Refusal.reference)
        .where(Refusal.credential_id == CredentialRow.id)
        .order_by(Refusal.at.desc())
        .limit(1)
        .correlate(CredentialRow)
        .scalar_subquery()
    )
    found = session.execute(
        select(CredentialRow.id, Refusal)
        .join(Refusal, Refusal.reference == last)
        .where(CredentialRow.id.in_(credential_ids))
    )
    return {id_: refusal for id_, refusal in found}  # noqa: C416 - rows are tuples, but not to mypy


def _lock(session: Session, ip: str, now: datetime) -> Lock | None:
    try:
        subject = lock_subject(str(normalise_ip(ip)))
    except ValueError:  # a connection whose address was never known
        return None
    return session.scalar(
        select(Lock).where(
            Lock.scope == ADDRESS, Lock.subject == subject, Lock.locked_until > now, Lock.cleared_at.is_(None)
        )
    )
