"""Turns at the hash: a password costs 25 ms of a core, and a crowd of guessers must not keep everybody else waiting.

As many hash at once as there are cores, and strangers have all of them but one. Of those that wait, log-ins from an
address from which they succeeded before go first; then addresses take turns, so that one that asks a hundred times is
served as often as one that asks once. Few may wait: for more there is nothing but "try again in a minute".
"""

from __future__ import annotations

import os
import sys
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
    """Somebody who wants a turn, and may wait: woken when it is their turn, or when they were sent away."""

    address: str
    familiar: bool = False
    woken: threading.Event = field(default_factory=threading.Event)
    sent_away: bool = False


class Turns:
    """Lets `at_once` threads go on at a time, and at most `most_waiting` strangers wait."""

    def __init__(self, most_waiting: int, *, at_once: int = AT_ONCE) -> None:
        self._most_waiting = most_waiting
        self._free = at_once
        self._free_for_strangers = max(1, at_once - 1)
        # Threads of their own: whichever thread hashes keeps its 19 MiB, so few may.
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="hash", initializer=_be_nice)
        self._lock = threading.Lock()
        self._familiar: deque[_Waiting] = deque()
        self._strangers: OrderedDict[str, deque[_Waiting]] = OrderedDict()

    @contextmanager
    def turn(self, address: str, is_familiar: Callable[[], bool]) -> Iterator[bool]:
        """Wait for a turn; it ends with the block, which gets whether it had to wait.

        *is_familiar* is asked only then. Raise ``Refused(AUTH_UNAVAILABLE)`` when too many wait.
        """
        waiting, waited = _Waiting(address), False
        if not self._go_at_once(waiting):
            waiting.familiar = is_familiar()
            waited = self._wait(waiting)
        try:
            yield waited
        finally:
            self._pass_on(waiting)

    def run(self, work: Callable[[], T]) -> T:
        """Do *work*, as whoever has a turn."""
        return self._threads.submit(work).result()

    def check_room(self, address: str) -> None:
        """Raise ``Refused(AUTH_UNAVAILABLE)`` when *address*, a stranger, could not even wait now. Never blocks."""
        with self._lock:
            self._check_room(address)

    @property
    def waiting(self) -> int:
        """How many wait."""
        with self._lock:
            return len(self._familiar) + self._waiting_strangers()

    def _go_at_once(self, who: _Waiting) -> bool:
        with self._lock:
            return self._take(who)

    def _take(self, who: _Waiting) -> bool:
        if not self._free or not (who.familiar or self._free_for_strangers):
            return False
        self._free -= 1
        self._free_for_strangers -= not who.familiar
        return True

    def _wait(self, waiting: _Waiting) -> bool:
        with self._lock:
            if self._take(waiting):
                return False
            if waiting.familiar:
                self._familiar.append(waiting)
            else:
                self._queue(waiting)
        waiting.woken.wait()
        if waiting.sent_away:
            raise _busy()
        return True

    def _check_room(self, address: str) -> deque[_Waiting] | None:
        """The queue of another address that must make room, if one must."""
        if self._waiting_strangers() < self._most_waiting:
            return None
        longest = max(self._strangers.values(), key=len, default=deque[_Waiting]())
        if len(longest) <= len(self._strangers.get(address, ())) + 1:
            raise _busy()
        return longest

    def _queue(self, waiting: _Waiting) -> None:
        if longest := self._check_room(waiting.address):
            last = longest.pop()
            last.sent_away = True
            last.woken.set()
        self._strangers.setdefault(waiting.address, deque()).append(waiting)

    def _pass_on(self, done: _Waiting) -> None:
        with self._lock:
            self._free_for_strangers += not done.familiar
            if self._familiar:
                self._familiar.popleft().woken.set()
            elif self._strangers and self._free_for_strangers:
                self._free_for_strangers -= 1
                address, queue = self._strangers.popitem(last=False)
                queue.popleft().woken.set()
                if queue:
                    self._strangers[address] = queue
            else:
                self._free += 1

    def _waiting_strangers(self) -> int:
        return sum(map(len, self._strangers.values()))


def _be_nice() -> None:
    """Let everything else of the machine go first: who waits for a hash waits anyway."""
    if sys.platform == "linux":  # elsewhere it would be the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def _busy() -> Refused:
    return Refused(Reason.AUTH_UNAVAILABLE, cause="too_many_log_ins", retry_after=10)
