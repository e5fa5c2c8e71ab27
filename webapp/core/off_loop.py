"""What jobs with an event loop share: the database in threads of their own, and waiting that a stop cuts short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog
from sqlalchemy.orm import Session

from webapp.core.database import Database

T = TypeVar("T")
log = structlog.get_logger(__name__)


class OffLoop:
    """*threads* threads of the job *name*: the loop's shared ones may all wait for something else."""

    def __init__(self, database: Database, *, name: str, threads: int) -> None:
        self._database = database
        self._name = name
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._gone = False

    async def run(self, work: Callable[[], T]) -> T:
        """Do the blocking *work*."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def in_session(self, work: Callable[[Session], T]) -> T:
        """Do *work* in a transaction. Raise `UNAVAILABLE` while the database is gone."""

        def run() -> T:
            with self._database.session() as session:
                return work(session)

        return await self.run(run)

    def note(self, error: BaseException | None) -> None:
        """Log once when the database goes, and once when it is back."""
        if error and not self._gone:
            log.warning("database_unavailable", job=self._name, error=type(error).__name__)
        elif error is None and self._gone:
            log.info("database_available", job=self._name)
        self._gone = error is not None

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait *seconds*, or less when *stop* is set. Return whether it is."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
