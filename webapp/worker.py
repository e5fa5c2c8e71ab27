"""The worker process: an event loop that keeps its registered jobs running, and says that it is alive.

It knows no job by name: `wsgi.py` registers mail delivery and the like. A job runs until it is told to stop; one
that fails is started again, so that a database which goes and comes back needs nobody's hand.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from webapp.core.database import UNAVAILABLE
from webapp.core.models import utcnow
from webapp.core.services.gateway import Gateway
from webapp.core.services.heartbeats import BEAT_SECONDS
from webapp.core.services.housekeeping import Kept, purge

log = structlog.get_logger(__name__)

#: What is in flight at SIGTERM or SIGINT may take this long, in seconds.
STOP_SECONDS = 10.0
#: A job that failed waits this long before it runs again, doubling up to the second figure, in seconds.
RESTART_SECONDS = (0.5, 5.0)
HOUSEKEEPING_SECONDS = 600.0
#: Between two batches other writers get their turn, in seconds.
BATCH_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Job:
    """Something the worker does. *run* returns soon after the event that it gets is set, and never before."""

    name: str
    run: Callable[[asyncio.Event], Awaitable[None]]


def every(name: str, seconds: float, work: Callable[[], object]) -> Job:
    """A job that calls the blocking *work*, now and then *seconds* after each end.

    It has a thread of its own: the loop's shared ones may all wait for a resolver that doesn't answer.
    """

    async def run(stop: asyncio.Event) -> None:
        thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        try:
            while not stop.is_set():
                await asyncio.get_running_loop().run_in_executor(thread, work)
                await wait(stop, seconds)
        finally:
            thread.shutdown(wait=False)

    return Job(name, run)


async def wait(stop: asyncio.Event, seconds: float) -> bool:
    """Wait *seconds*, or less when *stop* is set. Return whether it is."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


def housekeeping_job(gateway: Gateway) -> Job:
    """Deletes what is past its time, one small transaction after the other."""

    def batch() -> int:
        current = gateway.preferences.current()
        kept = Kept(current.logs_kept, current.content_kept, current.messages_kept)
        with gateway.database.session() as session:
            return purge(session, utcnow(), kept=kept)

    async def run(stop: asyncio.Event) -> None:
        while not stop.is_set():
            deleted = await asyncio.to_thread(batch)
            await wait(stop, BATCH_SECONDS if deleted else HOUSEKEEPING_SECONDS)

    return Job("housekeeping", run)


class Worker:
    """Runs *jobs* until SIGTERM or SIGINT, or until `stop` is set."""

    def __init__(self, jobs: Iterable[Job], *, heartbeat: Callable[[], None]) -> None:
        self._jobs = [every("heartbeat", BEAT_SECONDS, heartbeat), *jobs]
        self.stop = asyncio.Event()

    async def run(self) -> None:
        """Run until stopped, then give what is in flight `STOP_SECONDS`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        tasks = {asyncio.create_task(self._supervise(job), name=job.name) for job in self._jobs}
        log.info("worker_started", jobs=[job.name for job in self._jobs])
        await self.stop.wait()
        _, unfinished = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for task in unfinished:
            log.warning("job_cut_short", job=task.get_name())
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        log.info("worker_stopped")

    async def _supervise(self, job: Job) -> None:
        """Run *job* again when it fails, and log a row of like failures once."""
        clock = asyncio.get_running_loop().time
        delay, last = RESTART_SECONDS[0], ""
        while not self.stop.is_set():
            started = clock()
            try:
                await job.run(self.stop)
                failure = "ended by itself"
            except UNAVAILABLE as error:
                failure = f"database unavailable: {type(error).__name__}"
            except Exception as error:
                failure = type(error).__name__
                if failure != last:
                    log.exception("job_failed", job=job.name)
            if self.stop.is_set():
                return
            if clock() - started > RESTART_SECONDS[1]:  # it had been well for a while
                delay, last = RESTART_SECONDS[0], ""
            if failure != last:
                log.warning("job_waits", job=job.name, because=failure)
            last = failure
            await wait(self.stop, delay)
            delay = min(delay * 2, RESTART_SECONDS[1])


def run_worker(gateway: Gateway, jobs: Iterable[Job]) -> None:
    """The worker process: *jobs*, housekeeping and heartbeats, until a signal ends it."""

    async def main() -> None:
        await Worker([*jobs, housekeeping_job(gateway)], heartbeat=lambda: gateway.heartbeat("worker")).run()

    asyncio.run(main())
    gateway.close()
