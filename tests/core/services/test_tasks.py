"""Tasks: taken once, kept by their lease, failed when nobody is left to do them."""

from __future__ import annotations

from datetime import datetime, timedelta

from webapp.core.models import Task, utcnow
from webapp.core.services import tasks
from webapp.core.services.gateway import Gateway
from webapp.core.services.housekeeping import purge


def ask(gateway: Gateway, kind: str = "greet", **args: str) -> int:
    with gateway.database.session() as session:
        return tasks.enqueue(session, kind, args, requested_by="ann@example.com")


def take(gateway: Gateway, lease: str = "one", *, now: datetime | None = None, limit: int = 10) -> list[int]:
    with gateway.database.session() as session:
        found = tasks.claim(session, lease=lease, kinds=["greet"], limit=limit, now=now or utcnow())
        return [task.id for task in found]


def look(gateway: Gateway, task_id: int) -> Task:
    with gateway.database.session() as session:
        return session.get_one(Task, task_id)


def overdue(gateway: Gateway, now: datetime) -> int:
    with gateway.database.session() as session:
        return tasks.fail_overdue(session, now)


def test_each_task_is_taken_once_oldest_first_and_only_of_known_kinds(gateway: Gateway) -> None:
    first, second = ask(gateway, name="Ann"), ask(gateway)
    ask(gateway, kind="other")

    assert take(gateway, limit=1) == [first]
    assert take(gateway, "two") == [second]
    assert take(gateway, "three") == []
    assert look(gateway, first).args == {"name": "Ann"}


def test_what_it_tells_is_seen_while_it_runs_and_stays_when_it_fails(gateway: Gateway) -> None:
    task_id = ask(gateway)
    take(gateway)

    with gateway.database.session() as session:
        tasks.tell(session, task_id, {"lines": 1}, lease="one")
    assert (look(gateway, task_id).state, look(gateway, task_id).result) == ("running", {"lines": 1})
    with gateway.database.session() as session:
        tasks.finish(session, task_id, lease="one", error="It did not work.")

    ended = look(gateway, task_id)
    assert (ended.state, ended.result, ended.error) == ("failed", {"lines": 1}, "It did not work.")
    assert ended.ended_at is not None


def test_a_task_whose_worker_fell_silent_fails_and_is_not_done_again(gateway: Gateway) -> None:
    lost, kept, now = ask(gateway), ask(gateway), utcnow()
    take(gateway, now=now)
    with gateway.database.session() as session:
        tasks.renew(session, lease="one", ids=[kept], now=now + tasks.LEASE)

    assert overdue(gateway, now + tasks.LEASE) == 1

    assert (look(gateway, lost).state, look(gateway, lost).error) == ("failed", tasks.CUT_OFF)
    assert look(gateway, kept).state == "running"
    assert take(gateway, "two") == []
    with gateway.database.session() as session:
        tasks.finish(session, lost, lease="one", result={"late": True})
    assert look(gateway, lost).state == "failed"


def test_a_task_that_no_worker_takes_says_so(gateway: Gateway) -> None:
    task_id = ask(gateway)

    assert overdue(gateway, utcnow() + tasks.WAITS - timedelta(seconds=30)) == 0
    assert overdue(gateway, utcnow() + tasks.WAITS) == 1

    assert look(gateway, task_id).error == tasks.NOT_TAKEN


def test_old_tasks_are_purged(gateway: Gateway) -> None:
    ask(gateway)
    with gateway.database.session() as session:
        assert purge(session, utcnow() + tasks.TASKS_KEPT - timedelta(minutes=1)) == 0
        assert purge(session, utcnow() + tasks.TASKS_KEPT) == 1
