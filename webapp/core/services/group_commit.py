"""Group commit: writes that wait together share one transaction and one sync to disk.

A sync costs milliseconds whatever it carries. While one runs, the next writes gather; each caller is answered
only after its own write is safe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from webapp.core.database import UNAVAILABLE, Database, begin_write, was_raced
from webapp.core.rules.refusals import Reason, Refused

Item = TypeVar("Item")
T = TypeVar("T")
log = structlog.get_logger(__name__)

#: Writes that share a transaction at most: a batch must not hold the write lock for long.
LONGEST_BATCH = 200
#: How often one write is tried when other processes' writes are quicker.
MOST_TRIES = 5


def _begun() -> Future[Any]:
    """A future that nobody can cancel: what is queued is written, whoever still waits for it."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


@dataclass(slots=True)
class _Item(Generic[T]):
    work: Callable[[Session], T]
    future: Future[T] = field(default_factory=_begun)


class GroupCommit:
    """A thread that runs writes in batches. It starts at the first use, so a fork before that is harmless.

    A *work* gets the batch's session. It may raise `Refused`, but only before it has written; any other exception
    rolls the batch back, and each of its works runs again alone: a work must bear being called twice.
    *pace*: what nobody waits for gathers so long, in seconds, between two batches.
    """

    def __init__(
        self,
        database: Database,
        *,
        name: str,
        backlog: int | None = None,
        longest_batch: int = LONGEST_BATCH,
        pace: float = 0.0,
    ) -> None:
        self._pace = pace
        self._closing = threading.Event()
        self._longest_batch = longest_batch
        self._database = database
        self._name = name
        self._backlog = backlog
        self._queue: SimpleQueue[_Item[Any] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(self, work: Callable[[Session], T]) -> Future[T]:
        """Queue *work*; the future has its result once that is committed.

        The future raises what *work* raised, ``Refused(STORAGE)`` when the database is gone, and the same at once
        when more than `backlog` writes already wait.
        """
        item = _Item(work)
        if self._backlog is not None and self._queue.qsize() >= self._backlog:
            item.future.set_exception(Refused(Reason.STORAGE, cause="backlog_full"))
            return item.future
        with self._lock:
            self._ensure_thread()
            self._queue.put(item)
        return item.future

    def close(self) -> None:
        """Finish what is queued, and what its callbacks add, then end the thread."""
        with self._lock:
            thread = self._thread
            if thread is None:
                return
            self._closing.set()
            self._queue.put(None)
        thread.join()

    def _ensure_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._closing.clear()
            self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
            self._thread.start()

    def _loop(self) -> None:
        closing = False
        while not (closing and self._end()):
            item = self._queue.get()
            batch, last = self._gather(item) if item else ([], True)
            closing = closing or last
            self._run(batch)
            if self._pace and not closing:
                self._closing.wait(self._pace)

    def _end(self) -> bool:
        """Whether nothing is left to do; the next write starts another thread then."""
        with self._lock:
            if not self._queue.empty():
                return False
            self._thread = None
            return True

    def _gather(self, first: _Item[Any]) -> tuple[list[_Item[Any]], bool]:
        batch = [first]
        while len(batch) < self._longest_batch:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if item is None:
                return batch, True
            batch.append(item)
        return batch, False

    def _run(self, batch: list[_Item[Any]], tries: int = 1) -> None:
        if not batch:
            return
        outcomes: list[tuple[_Item[Any], Any, Refused | None]] = []
        try:
            with self._database.write_turn(), self._database.session() as session:
                begin_write(session)
                for item in batch:
                    try:
                        outcomes.append((item, item.work(session), None))
                    except Refused as refused:
                        outcomes.append((item, None, refused))
        except Exception as error:
            self._recover(batch, error, tries)
        else:
            for item, result, refusal in outcomes:
                if refusal is None:
                    item.future.set_result(result)
                else:
                    item.future.set_exception(refusal)

    def _recover(self, batch: list[_Item[Any]], error: Exception, tries: int) -> None:
        raced = isinstance(error, DBAPIError) and was_raced(error)
        if isinstance(error, UNAVAILABLE) and not raced:
            log.warning("database_unavailable", writer=self._name, error=type(error).__name__)
            error = Refused(Reason.STORAGE, cause="database_unavailable")
        elif len(batch) > 1:
            for item in batch:
                self._run([item])
            return
        elif raced and tries < MOST_TRIES:
            self._run(batch, tries + 1)
            return
        else:
            log.error("write_failed", writer=self._name, exc_info=error)
        for item in batch:
            item.future.set_exception(error)


class Together(Generic[Item, T]):
    """Items that wait at the same time are written by one call of *write*, which gets them all.

    One that can't be written takes no other along: each is tried again alone then.
    """

    def __init__(self, writer: GroupCommit, write: Callable[[Session, Sequence[Item]], T]) -> None:
        self._writer = writer
        self._write = write
        self._lock = threading.Lock()
        self._waiting: list[tuple[Item, Future[T]]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, item: Item) -> Future[T]:
        """Queue *item*; the future has what *write* returned for all of them, or raises as `GroupCommit.submit`."""
        future: Future[T] = _begun()
        with self._lock:
            self._waiting.append((item, future))
            first = len(self._waiting) == 1
        if first:  # the others come along
            self._write_waiting()
        return future

    def _write_waiting(self) -> None:
        taken: list[tuple[Item, Future[T]]] = []  # by the first try; a second one writes the same again

        def write(session: Session) -> T:
            if not taken:
                taken.extend(self._take())
            return self._write(session, [item for item, _ in taken])

        def written(result: Future[T]) -> None:
            alone = result.exception() is not None and not isinstance(result.exception(), Refused)
            for item, future in taken or self._take():
                if alone and len(taken) > 1:
                    again = self._writer.submit(partial(_alone, self._write, item))
                    again.add_done_callback(partial(_pass_on, to=future))
                else:
                    _pass_on(result, to=future)

        self._writer.submit(write).add_done_callback(written)

    def _take(self) -> list[tuple[Item, Future[T]]]:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        return waiting


def _alone(write: Callable[[Session, Sequence[Item]], T], item: Item, session: Session) -> T:
    return write(session, [item])


def _pass_on(result: Future[T], *, to: Future[T]) -> None:
    if error := result.exception():
        to.set_exception(error)
    else:
        to.set_result(result.result())
