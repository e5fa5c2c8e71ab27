"""The suppression list: addresses that bounced, or that somebody put there, get no more mail from a domain.

Sending on to dead addresses is what gets a server onto blocklists. A hard bounce puts an address here at once, soft
ones after some in a row; a delivery in between forgives them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from webapp.core.models import Domain, Suppression, utcnow
from webapp.core.rules.addresses import AddressError, parse_address
from webapp.core.rules.bounces import SOFT_BOUNCES, BounceType
from webapp.core.rules.refusals import printable
from webapp.core.services import audit
from webapp.core.services.audit import Actor
from webapp.core.services.errors import ServiceError

MOST_IMPORTED = 50_000
#: What a spreadsheet takes for a formula when a cell begins with it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = ("email", "kind", "reason", "since")


class Key(NamedTuple):
    """A recipient of a domain's mail."""

    domain_id: int
    email: str

    @classmethod
    def of(cls, domain_id: int, recipient: str) -> Key:
        """Capitals make no other mailbox, whatever the standard allows (RFC 5321 section 2.4)."""
        return cls(domain_id, recipient.lower())


class Imported(NamedTuple):
    """What an import did. `wrong` has the first lines that were no address."""

    added: int
    known: int
    wrong: list[str]


def among(session: Session, keys: Iterable[Key]) -> dict[Key, str]:
    """Those of *keys* that are suppressed, and why."""
    found: dict[Key, str] = {}
    for some in _chunks(set(keys)):
        rows = session.execute(
            select(Suppression.domain_id, Suppression.email, Suppression.kind, Suppression.reason).where(
                tuple_(Suppression.domain_id, Suppression.email).in_(some), Suppression.since.is_not(None)
            )
        )
        found |= {Key(row.domain_id, row.email): _why(row.kind, row.reason) for row in rows}
    return found


def bounced(
    session: Session,
    key: Key,
    bounce_type: BounceType,
    reason: str,
    *,
    message_id: str,
    now: datetime,
    soft_limit: int = SOFT_BOUNCES,
    before: int = 0,
) -> None:
    """Note a final refusal. *soft_limit* of the soft ones in a row suppress; a *block* says nothing of the address.

    *before* is how many soft ones came right before it, where that is known better than by those counted here.
    """
    if bounce_type == "block":
        return
    row = session.scalar(
        select(Suppression).where(Suppression.domain_id == key.domain_id, Suppression.email == key.email)
    )
    if row is None:
        row = Suppression(domain_id=key.domain_id, email=key.email, soft_bounces=0)
        session.add(row)
    elif row.since is not None:
        return
    row.soft_bounces = max(row.soft_bounces, before) + (bounce_type == "soft")
    row.kind, row.reason, row.message_id, row.updated_at = bounce_type, reason, message_id, now
    if bounce_type == "hard" or row.soft_bounces >= soft_limit:
        row.since = now


def forgive(session: Session, keys: Iterable[Key]) -> None:
    """Forget the soft bounces of those that are only watched: they took mail."""
    for some in _chunks(set(keys)):
        session.execute(
            delete(Suppression)
            .where(tuple_(Suppression.domain_id, Suppression.email).in_(some), Suppression.since.is_(None))
            .execution_options(synchronize_session=False)
        )


def add(session: Session, actor: Actor, domain: Domain, email: str, reason: str = "") -> Suppression:
    """Suppress an address by hand. Raise `ServiceError`."""
    try:
        key = Key.of(domain.id, parse_address(email.strip()))
    except AddressError as error:
        raise ServiceError(f"This is not an e-mail address: {error}.", field="email") from None
    if among(session, [key]):
        raise ServiceError(f"{key.email} is suppressed already.", field="email")
    forgive(session, [key])  # one that was only watched makes room
    row = _add(session, key, reason, utcnow())
    audit.record(session, actor, "suppress", row, domain=domain.name)
    return row


def release(session: Session, actor: Actor, row: Suppression) -> None:
    """Let mail to the address through again; its bounces are forgotten."""
    audit.record(session, actor, "release", row, domain=row.domain.name, reason=row.reason)
    session.delete(row)


def import_csv(session: Session, actor: Actor, domain: Domain, text: str) -> Imported:
    """Suppress every address in *text*: CSV with a column ``email`` (or the first), or one address a line.

    What is there already stays as it is. Raise `ServiceError` for a text with nothing to read.
    """
    keys: dict[Key, str] = {}
    wrong: list[str] = []
    for number, (email, reason) in enumerate(_rows(text), start=1):
        if len(keys) >= MOST_IMPORTED:
            raise ServiceError(f"At most {MOST_IMPORTED} addresses at once: split the file.", field="file")
        try:
            keys[Key.of(domain.id, parse_address(email))] = reason
        except AddressError as error:
            wrong.append(f"Line {number}: {printable(email, 60)}: {error}")
    if not keys:
        raise ServiceError(wrong[0] if wrong else "There is no address in it.", field="file")
    known = among(session, keys)
    new = [key for key in keys if key not in known]
    forgive(session, new)  # those that were only watched make room
    now = utcnow()
    for key in new:
        _add(session, key, keys[key], now)
    audit.record(session, actor, "import", domain, suppressions=len(new))
    return Imported(len(new), len(known), wrong)


def export_csv(session: Session, domain_ids: Iterable[int]) -> Iterator[str]:
    """The lists of some domains as CSV, line by line, in a form that no spreadsheet takes for formulas."""
    yield _line(_COLUMNS)
    rows = session.scalars(
        select(Suppression)
        .where(Suppression.domain_id.in_(list(domain_ids)), Suppression.since.is_not(None))
        .order_by(Suppression.email)
        .execution_options(yield_per=500)
    )
    for row in rows:
        since = row.since.isoformat(timespec="seconds") if row.since else ""
        yield _line((row.email, row.kind, row.reason, since))


def _add(session: Session, key: Key, reason: str, now: datetime) -> Suppression:
    row = Suppression(domain_id=key.domain_id, email=key.email, kind="manual", since=now, updated_at=now)
    row.reason = printable(" ".join(reason.split()), 500)
    session.add(row)
    return row


def _why(kind: str, reason: str) -> str:
    match kind:
        case "hard":
            what = "Not sent: the address is suppressed, since mail to it bounced"
        case "soft":
            what = "Not sent: the address is suppressed after several bounces in a row"
        case _:
            what = "Not sent: the address was put on the suppression list"
    return f"{what}: {reason}" if reason else f"{what}."


def _rows(text: str) -> Iterator[tuple[str, str]]:
    """Address and reason of each line that has something."""
    column, reason_column = 0, None
    for number, cells in enumerate(csv.reader(io.StringIO(text.removeprefix("\ufeff")))):
        row = [_unguarded(cell.strip()) for cell in cells]
        names = [cell.lower() for cell in row]
        if number == 0 and any(name in {"email", "e-mail", "address", "recipient"} for name in names):
            column = next(i for i, name in enumerate(names) if name in {"email", "e-mail", "address", "recipient"})
            reason_column = names.index("reason") if "reason" in names else None
            continue
        if len(row) > column and row[column]:
            reason = row[reason_column] if reason_column is not None and len(row) > reason_column else ""
            yield row[column], reason


def _line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([f"'{cell}" if cell.startswith((*_FORMULA, "'")) else cell for cell in cells])
    return line.getvalue()


def _unguarded(cell: str) -> str:
    """What `_line` guarded, as it was."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith((*_FORMULA, "'")) else cell


def _chunks(keys: Iterable[Key], size: int = 500) -> Iterator[list[Key]]:
    left = sorted(keys)
    for start in range(0, len(left), size):
        yield left[start : start + size]
