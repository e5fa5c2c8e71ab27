"""The worker's job that does tasks: it knows only the handlers that `wsgi.py` registered, by kind.

A handler is a plain function in a thread of its own; one that wants an event loop runs one (`asyncio.run`). It gets
a `Run` and returns the result, as JSON can hold it; it may tell a partial one on the way. `TaskError` fails the task
with a sentence for its page. Tasks wait neither for mail nor for each other.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import structlog
from sqlalchemy.orm import Session

from webapp.core.database import UNAVAILABLE
from webapp.core.models import Task, utcnow
from webapp.core.services import tasks
from webapp.core.services.gateway import Gateway
from webapp.core.services.tasks import Handler, Run, TaskError
from webapp.worker import Job, wait

T = TypeVar("T")
log = structlog.get_logger(__name__)

#: How often waiting tasks are looked for, and how often leases are renewed, in seconds.
LOOK_SECONDS = 0.25
RENEW_SECONDS = 2.0
#: Tasks that run at once in a process.
ROOM = 16
#: A task is given up after so long, in seconds: whoever looks at its page would have gone.
TIMEOUT_SECONDS = 120.0

UNEXPECTED = "An unexpected error, which the worker's log shows."
TOO_LONG = "This took too long and was given up."


def tasks_job(gateway: Gateway, handlers: Mapping[str, Handler], *, timeout: float = TIMEOUT_SECONDS) -> Job:
    """The job that does the tasks for which there are *handlers*, each for at most *timeout* seconds."""

    async def run(stop: asyncio.Event) -> None:
        await _Desk(gateway, handlers, timeout).run(stop)

    return Job("tasks", run)


class _Desk:
    """The tasks of one worker. Use it for one `run`."""

    def __init__(self, gateway: Gateway, handlers: Mapping[str, Handler], timeout: float) -> None:
        self._database = gateway.database
        self._handlers = handlers
        self._timeout = timeout
        self._lease = secrets.token_hex(16)
        self._running: dict[int, asyncio.Task[None]] = {}
        # Threads of its own: the loop's shared ones may all wait for a resolver that doesn't answer.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="tasks")

    async def run(self, stop: asyncio.Event) -> None:
        """Take tasks until *stop*; what runs then is given up with its threads."""
        renewed_at = asyncio.get_running_loop().time()
        try:
            while not stop.is_set():
                await self._take()
                if asyncio.get_running_loop().time() - renewed_at >= RENEW_SECONDS:
                    renewed_at = asyncio.get_running_loop().time()
                    await self._in_thread(partial(self._look_after, list(self._running)))
                await wait(stop, LOOK_SECONDS)
        finally:
            running = list(self._running.values())
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            self._threads.shutdown(wait=False)

    async def _take(self) -> None:
        free = ROOM - len(self._running)
        if not free or not self._handlers:
            return
        claim = partial(tasks.claim, lease=self._lease, kinds=list(self._handlers), limit=free, now=utcnow())
        for task in await self._in_thread(partial(self._in_session, claim)):
            self._running[task.id] = asyncio.create_task(self._do(task))

    def _look_after(self, ids: list[int]) -> None:
        now = utcnow()
        if ids:
            self._in_session(partial(tasks.renew, lease=self._lease, ids=ids, now=now))
        if self._in_session(partial(tasks.fail_overdue, now=now)):
            log.warning("tasks_overdue")

    async def _do(self, task: Task) -> None:
        run = Run(task.id, task.args, partial(self._tell, task.id))
        result, error = None, None
        try:
            async with asyncio.timeout(self._timeout):
                result = await _in_own_thread(partial(self._handlers[task.kind], run), name=str(task))
        except TaskError as failure:
            error = str(failure)
        except TimeoutError:
            error = TOO_LONG
        except asyncio.CancelledError:
            error = tasks.CUT_OFF
        except Exception:
            log.exception("task_error", task=task.id, kind=task.kind)
            error = UNEXPECTED
        try:
            finish = partial(tasks.finish, task_id=task.id, lease=self._lease, result=result, error=error)
            await self._in_thread(partial(self._in_session, finish))
        except UNAVAILABLE:
            log.warning("task_result_lost", task=task.id)  # its lease ends, and it fails
        finally:
            del self._running[task.id]

    def _tell(self, task_id: int, result: Mapping[str, Any]) -> None:
        self._in_session(partial(tasks.tell, task_id=task_id, result=result, lease=self._lease))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _in_session(self, work: Callable[[Session], T]) -> T:
        with self._database.session() as session:
            return work(session)


async def _in_own_thread(work: Callable[[], T], *, name: str) -> T:
    """Run *work* in a thread that nothing waits for at exit: one that hangs must not keep the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(set_it: Callable[[Any], None], value: object) -> None:
        if not done.done():
            set_it(value)

    def run() -> None:
        try:
            told = partial(settle, done.set_result, work())
        except BaseException as error:
            told = partial(settle, done.set_exception, error)
        with suppress(RuntimeError):  # the loop is gone, and with it whoever waited
            loop.call_soon_threadsafe(told)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done
