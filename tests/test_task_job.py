"""The worker's tasks, with real threads: results, errors, time-outs, and what a stop does."""

from __future__ import annotations

import threading
from typing import Any

from tests.support.queue import until
from tests.support.tasks import at_work
from webapp.core.models import Task
from webapp.core.services import tasks
from webapp.core.services.gateway import Gateway
from webapp.core.services.tasks import Run, TaskError
from webapp.task_job import TOO_LONG, UNEXPECTED


def ask(gateway: Gateway, kind: str, **args: Any) -> int:
    with gateway.database.session() as session:
        return tasks.enqueue(session, kind, args, requested_by="ann@example.com")


def look(gateway: Gateway, task_id: int) -> Task:
    with gateway.database.session() as session:
        return session.get_one(Task, task_id)


def ended(gateway: Gateway, task_id: int) -> Task:
    until(lambda: look(gateway, task_id).ended_at)
    return look(gateway, task_id)


def test_a_task_is_done_and_tells_how_far_it_is(gateway: Gateway) -> None:
    seen = threading.Event()

    def greet(run: Run) -> dict[str, Any]:
        run.tell({"greeting": "Hel…"})
        assert seen.wait(10)
        return {"greeting": f"Hello {run.args['name']}"}

    task_id = ask(gateway, "greet", name="Ann")
    with at_work(gateway, {"greet": greet}):
        until(lambda: look(gateway, task_id).result == {"greeting": "Hel…"})
        seen.set()
        task = ended(gateway, task_id)

    assert (task.state, task.result, task.error) == ("done", {"greeting": "Hello Ann"}, None)


def test_failures_are_told_and_secrets_in_them_are_not(gateway: Gateway) -> None:
    def refuse(_run: Run) -> dict[str, Any]:
        raise TaskError("There is no relay.")

    def stumble(_run: Run) -> dict[str, Any]:
        raise ValueError("the password was Tr0mbone")

    with at_work(gateway, {"refuse": refuse, "stumble": stumble}):
        refused, stumbled = ask(gateway, "refuse"), ask(gateway, "stumble")
        assert ended(gateway, refused).error == "There is no relay."
        assert ended(gateway, stumbled).error == UNEXPECTED


def test_one_that_hangs_is_given_up_and_keeps_no_other_waiting(gateway: Gateway) -> None:
    free = threading.Event()

    def hang(_run: Run) -> dict[str, Any]:
        free.wait(20)
        return {}

    hanging, quick = ask(gateway, "hang"), ask(gateway, "quick")
    with at_work(gateway, {"hang": hang, "quick": lambda _run: {}}, timeout=0.5):
        assert ended(gateway, quick).state == "done"
        assert ended(gateway, hanging).error == TOO_LONG
    free.set()


def test_a_stop_fails_what_runs(gateway: Gateway) -> None:
    started, free = threading.Event(), threading.Event()

    def hang(_run: Run) -> dict[str, Any]:
        started.set()
        free.wait(20)
        return {}

    task_id = ask(gateway, "hang")
    with at_work(gateway, {"hang": hang}):
        assert started.wait(10)
    free.set()

    assert look(gateway, task_id).error == tasks.CUT_OFF
