"""Turns at the hash: a password costs 25 ms of a core, and a crowd of guessers must not keep everybody else waiting.

As many hash at once as there are cores. Of those that wait, log-ins from an address from which they succeeded before
go first; then addresses take turns, so that one that asks a hundred times is served as often as one that asks once.
Few may wait: for more there is nothing but "try again in a minute".
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from webapp.core.rules.refusals import Reason, Refused

T = TypeVar("T")

#: Hashes at a time: more than cores would only make each of them slower.
AT_ONCE = max(1, min(4, os.cpu_count() or 1))


@dataclass(slots=True, eq=False)
class _Waiting:
    """Somebody who waits: woken when it is their turn, or when they were sent away."""

    address: str
    woken: threading.Event = field(default_factory=threading.Event)
    sent_away: bool = False


class Turns:
    """Lets `at_once` threads go on at a time, and at most `most_waiting` strangers wait."""

    def __init__(self, most_waiting: int, *, at_once: int = AT_ONCE) -> None:
        self._most_waiting = most_waiting
        self._free = at_once
        # Threads of their own: whichever thread hashes keeps its 19 MiB, so few may.
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="hash")
        self._lock = threading.Lock()
        self._familiar: deque[_Waiting] = deque()
        self._strangers: OrderedDict[str, deque[_Waiting]] = OrderedDict()

    @contextmanager
    def turn(self, address: str, is_familiar: Callable[[], bool]) -> Iterator[bool]:
        """Wait for a turn; it ends with the block, which gets whether it had to wait.

        *is_familiar* is asked only then. Raise ``Refused(AUTH_UNAVAILABLE)`` when too many wait.
        """
        waited = not self._go_at_once()
        if waited:
            self._wait(_Waiting(address), is_familiar())
        try:
            yield waited
        finally:
            self._pass_on()

    def run(self, work: Callable[[], T]) -> T:
        """Do *work*, as whoever has a turn."""
        return self._threads.submit(work).result()

    @property
    def waiting(self) -> int:
        """How many wait."""
        with self._lock:
            return len(self._familiar) + self._waiting_strangers()

    def _go_at_once(self) -> bool:
        with self._lock:
            if not self._free:  # while anybody waits, nothing is free
                return False
            self._free -= 1
            return True

    def _wait(self, waiting: _Waiting, familiar: bool) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            if familiar:
                self._familiar.append(waiting)
            else:
                self._queue(waiting)
        waiting.woken.wait()
        if waiting.sent_away:
            raise _busy()

    def _queue(self, waiting: _Waiting) -> None:
        own = self._strangers.get(waiting.address)
        if self._waiting_strangers() >= self._most_waiting:
            longest = max(self._strangers.values(), key=len, default=deque[_Waiting]())
            if len(longest) <= len(own or ()) + 1:
                raise _busy()
            last = longest.pop()
            last.sent_away = True
            last.woken.set()
        self._strangers.setdefault(waiting.address, deque()).append(waiting)

    def _pass_on(self) -> None:
        with self._lock:
            if self._familiar:
                self._familiar.popleft().woken.set()
            elif self._strangers:
                address, queue = self._strangers.popitem(last=False)
                queue.popleft().woken.set()
                if queue:
                    self._strangers[address] = queue
            else:
                self._free += 1

    def _waiting_strangers(self) -> int:
        return sum(map(len, self._strangers.values()))


def _busy() -> Refused:
    return Refused(Reason.AUTH_UNAVAILABLE, cause="too_many_log_ins", retry_after=10)
