"""Messages that lack files: claimed by a worker for a while, completed, tried again, or given up.

A worker that is killed keeps its claim until that ends by itself. Who was too slow can't change what the next one
does: each begun try has its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.orm import Session

from webapp.core.database import begin_write
from webapp.core.models import Delivery, Message, MessageSource, UnfinishedMessage
from webapp.core.rules.compose import AttachedFile
from webapp.core.rules.linked_files import LinkedFile, put_in
from webapp.core.rules.statuses import Status
from webapp.core.services.outcomes import Outcome, RetryPolicy, record

#: How often the files of a message are tried to be had.
MOST_TRIES = 3
#: How long one try may take, at most.
LONGEST_TRY = timedelta(seconds=90)
#: A claim ends by itself after this long, unless its holder renews it, which it does this often.
LEASE = timedelta(seconds=30)
RENEW_EVERY = timedelta(seconds=10)
#: The second and the third try come so many times the first delay after the one before, which is a minute at most:
#: with the tries themselves all is over within ten minutes.
_DELAYS, _LONGEST_DELAY = (1, 4), timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A claimed message: `attempt` counts from 1."""

    message_id: str
    attempt: int
    links: tuple[LinkedFile, ...]


def claim(session: Session, *, now: datetime, limit: int) -> list[Unfinished]:
    """Take up to *limit* messages whose files are to be fetched now. Two workers never get the same one."""
    due = (
        select(UnfinishedMessage.message_id)
        .where(UnfinishedMessage.due_at <= now)
        .order_by(UnfinishedMessage.due_at)
        .limit(limit)
    )
    ids = session.scalars(due.with_for_update(skip_locked=True)).all()  # on SQLite this only asks
    if not ids:
        return []
    taken = session.execute(
        update(UnfinishedMessage)
        .where(UnfinishedMessage.message_id.in_(ids), UnfinishedMessage.due_at <= now)
        .values(tries=UnfinishedMessage.tries + 1, due_at=now + LEASE)
        .returning(UnfinishedMessage.message_id, UnfinishedMessage.tries, UnfinishedMessage.links)
        .execution_options(synchronize_session=False)
    ).all()
    return [Unfinished(row.message_id, row.tries, tuple(LinkedFile(**link) for link in row.links)) for row in taken]


def renew(session: Session, claimed: Iterable[Unfinished], *, now: datetime) -> None:
    """Prolong the claims that are still held."""
    for one in sorted(claimed, key=lambda one: one.message_id):
        session.execute(update(UnfinishedMessage).where(_mine(one)).values(due_at=now + LEASE))


def give_back(session: Session, claimed: Unfinished, *, now: datetime) -> None:
    """Undo a claim whose try was not made, so that any worker may take it at once."""
    session.execute(update(UnfinishedMessage).where(_mine(claimed)).values(tries=claimed.attempt - 1, due_at=now))


def still_wanted(session: Session, claimed: Unfinished) -> bool:
    """Whether anybody still waits for the message. If not, it is forgotten: it was cancelled."""
    if session.scalar(select(Delivery.id).where(*_waiting(claimed.message_id)).limit(1)) is not None:
        return True
    session.execute(delete(UnfinishedMessage).where(_mine(claimed)))
    return False


def stored_size(session: Session, claimed: Unfinished) -> int:
    """The octets of the message without its files."""
    return session.scalars(select(Message.size).where(Message.id == claimed.message_id)).one()


def complete(
    session: Session, claimed: Unfinished, files: Sequence[AttachedFile], *, limit: int, now: datetime
) -> bool:
    """Put *files* into the message and let it go. Return false when it would be larger than *limit* octets."""
    begin_write(session)
    stored = session.scalars(select(UnfinishedMessage).where(_mine(claimed)).with_for_update()).one_or_none()
    if stored is None:  # another worker has it, or is done with it
        return True
    source = stored.source
    for link, file in zip(claimed.links, files, strict=True):
        source = put_in(source, link, file)
    if len(source) > limit:
        return False
    send_at = session.scalars(select(Message.send_at).where(Message.id == claimed.message_id)).one()
    session.execute(
        update(Delivery)
        .where(*_waiting(claimed.message_id))
        .values(due_at=max(send_at or now, now), updated_at=now)
        .execution_options(synchronize_session=False)
    )
    session.execute(insert(MessageSource), [{"message_id": claimed.message_id, "source": source}])
    session.execute(update(Message).where(Message.id == claimed.message_id).values(size=len(source)))
    session.execute(delete(UnfinishedMessage).where(_mine(claimed)))
    return True


def put_off(session: Session, claimed: Unfinished, *, first: timedelta, now: datetime) -> bool:
    """Plan the next try, *first* being the first delay of everything deferred. Return false when that was the last."""
    if claimed.attempt >= MOST_TRIES:
        return False
    due_at = now + min(first, _LONGEST_DELAY) * _DELAYS[claimed.attempt - 1]
    session.execute(update(UnfinishedMessage).where(_mine(claimed)).values(due_at=due_at))
    return True


def give_up(session: Session, claimed: Unfinished, reason: str, *, policy: RetryPolicy, now: datetime) -> None:
    """End what waits for the message as failed, for *reason*: a sentence for whoever sent it."""
    gone = session.scalars(
        delete(UnfinishedMessage).where(_mine(claimed)).returning(UnfinishedMessage.message_id)
    ).all()
    if not gone:
        return
    lease = f"files-{token_hex(8)}"
    ids = session.scalars(
        update(Delivery)
        .where(*_waiting(claimed.message_id))
        .values(lease=lease)
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    ).all()
    record(session, [Outcome(i, Status.FAILED, reason) for i in sorted(ids)], lease=lease, policy=policy, now=now)


def _mine(claimed: Unfinished) -> ColumnElement[bool]:
    return (UnfinishedMessage.message_id == claimed.message_id) & (UnfinishedMessage.tries == claimed.attempt)


def _waiting(message_id: str) -> tuple[ColumnElement[bool], ...]:
    """Those of its deliveries that wait for the files."""
    held_back = Delivery.status.in_((Status.QUEUED, Status.SCHEDULED))
    return Delivery.message_id == message_id, held_back, Delivery.due_at.is_(None)
