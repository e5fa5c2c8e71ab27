"""Why was it refused? What the trace page and ``flask why`` know of a reference or an address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.core.models import CredentialRow, Lock, Refusal
from webapp.core.rules.explanations import Explanation, address_in, explain, references_in
from webapp.core.services.locks import concerning

#: As what one logs in at which door.
_KINDS = {"smtp": "smtp_user", "http": "api_key", "panel": "admin"}
#: Refusals that are listed for one address.
MOST_RECENT = 25
#: What looks like a reference in one text and is looked up, at most.
MOST_TRIED = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known. `locks` are those in force on `ip`, and on the log-in of the refusal; `recent` are the address's
    refusals, newest first."""

    refusal: Refusal | None = None
    explanation: Explanation | None = None
    credential: CredentialRow | None = None
    ip: str | None = None
    locks: Sequence[Lock] = ()
    recent: Sequence[Refusal] = ()


def why(session: Session, question: str, now: datetime) -> Answer | None:
    """Look up a reference, wherever in *question* it stands, or an address; None when there is neither.

    A reference that is not there, or is no longer kept, gives an `Answer` without a refusal and an address.
    """
    if references := references_in(question):
        found = (session.get(Refusal, reference) for reference in references[:MOST_TRIED])
        refusal = next((one for one in found if one), None)
        if refusal is None:
            return Answer()
        credential = session.get(CredentialRow, refusal.credential_id) if refusal.credential_id else None
        explanation = explain(refusal.code, refusal.cause)
        kind, name = _KINDS.get(refusal.door, ""), refusal.name.strip().lower()
        held = concerning(session, now, ip=refusal.ip, kind=kind, name=name)
        return Answer(refusal, explanation, credential, refusal.ip, held)
    if (ip := address_in(question)) is None:
        return None
    return Answer(ip=ip, locks=concerning(session, now, ip=ip), recent=recent(session, ip=ip))


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
