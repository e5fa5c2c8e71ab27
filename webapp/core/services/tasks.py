"""What the panel wants done elsewhere: a row that the worker takes, and a page that looks at it until it has ended.

    task_id = tasks.enqueue(session, "relay_test", {"to": address}, requested_by=actor().name)

A task may have effects outside (it sends something), so none is ever done twice: when its worker is killed, it ends
as failed. One that nobody took in time fails, too: hours later it would surprise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webapp.core.models import Task, utcnow

#: How long a worker holds a task without saying so again.
LEASE = timedelta(seconds=10)
#: A task that no worker took for so long is not done any more.
WAITS = timedelta(minutes=5)
#: How long tasks and their results are kept.
TASKS_KEPT = timedelta(days=7)

NOT_TAKEN = "No worker took this in time. Check that the worker runs (flask doctor says so), then try again."
CUT_OFF = "The worker stopped in the middle of this. Try again."


class TaskError(Exception):
    """The task can't be done; the text is a sentence for its page."""


@dataclass(frozen=True, slots=True)
class Run:
    """One task at work. `tell` shows a partial result on the task's page; it writes to the database."""

    id: int
    args: Mapping[str, Any]
    tell: Callable[[Mapping[str, Any]], None]


#: Does a task and returns its result. Raise `TaskError`.
Handler = Callable[[Run], Mapping[str, Any]]


def enqueue(session: Session, kind: str, args: Mapping[str, Any], *, requested_by: str) -> int:
    """Have the worker do *kind* with *args* (JSON, no secrets) as soon as this transaction commits. Return its id."""
    task = Task(kind=kind, args=dict(args), requested_by=requested_by)
    session.add(task)
    session.flush()
    return task.id


def find(session: Session, task_id: int) -> Task | None:
    """The task as it stands, or None when there is none any more."""
    return session.get(Task, task_id)


def claim(session: Session, *, lease: str, kinds: Collection[str], limit: int, now: datetime) -> Sequence[Task]:
    """Take up to *limit* tasks of *kinds* under *lease* until `LEASE` from *now*, oldest first."""
    waiting = select(Task.id).where(Task.ended_at.is_(None), Task.state == "queued", Task.kind.in_(kinds))
    waiting = waiting.order_by(Task.id).limit(limit)
    if session.get_bind().dialect.name == "sqlite":
        # Ask before taking the write lock: there is mostly nothing, and this is asked several times a second.
        if session.scalar(waiting) is None:
            return []
        ids: Any = waiting
    else:
        ids = session.scalars(waiting.with_for_update(skip_locked=True)).all()
        if not ids:
            return []
    taken = session.scalars(
        update(Task)
        .where(Task.id.in_(ids))
        .values(state="running", lease=lease, lease_until=now + LEASE, started_at=now)
        .returning(Task)
    )
    return sorted(taken, key=lambda task: task.id)


def renew(session: Session, *, lease: str, ids: Collection[int], now: datetime) -> None:
    """Prolong *lease* on *ids* until `LEASE` from *now*."""
    session.execute(_held(lease, ids).values(lease_until=now + LEASE))


def tell(session: Session, task_id: int, result: Mapping[str, Any], *, lease: str) -> None:
    """Show *result* while the task still runs."""
    session.execute(_held(lease, [task_id]).values(result=dict(result)))


def finish(
    session: Session, task_id: int, *, lease: str, result: Mapping[str, Any] | None = None, error: str | None = None
) -> None:
    """End the task: done, or failed when there is an *error*. Without a *result* what was told last stays."""
    values: dict[str, Any] = {
        "state": "failed" if error else "done",
        "error": error,
        "ended_at": utcnow(),
        "lease": None,
    }
    if result is not None:
        values["result"] = dict(result)
    session.execute(_held(lease, [task_id]).values(values))


def fail_overdue(session: Session, now: datetime) -> int:
    """Fail what its worker no longer holds, and what no worker took. Return how many."""
    dead = (Task.state == "running", Task.lease_until <= now)
    forgotten = (Task.state == "queued", Task.created_at <= now - WAITS)
    failed = 0
    for overdue, why in ((dead, CUT_OFF), (forgotten, NOT_TAKEN)):
        where = (Task.ended_at.is_(None), *overdue)
        if session.scalar(select(Task.id).where(*where).limit(1)) is None:
            continue
        values = {"state": "failed", "error": why, "ended_at": now, "lease": None}
        failed += len(session.scalars(update(Task).where(*where).values(values).returning(Task.id)).all())
    return failed


def _held(lease: str, ids: Collection[int]) -> Any:
    return update(Task).where(Task.id.in_(ids), Task.lease == lease, Task.ended_at.is_(None))
