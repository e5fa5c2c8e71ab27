"""Asks blocklists about addresses: several zones at once, within a time, and no more often than their TTL wants."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from webapp.core.rules.blocklists import (
    TEST_ADDRESSES,
    Finding,
    Health,
    Outcome,
    Zone,
    clean_reason,
    query_name,
    self_test,
)
from webapp.core.rules.networks import normalise_ip
from webapp.net.async_resolver import AsyncResolver, Silent
from webapp.net.resolver import LookupFailed

#: All zones together are waited for so long, in seconds. A banner has half a second more for all else.
WAIT = 2.8
#: A zone's words come after its verdict; without them it still is one.
_REASON_WAIT = 1.0
#: After so many unanswered look-ups in a row a zone is not waited for, for so many seconds.
PATIENCE, IMPATIENCE = 3, 60.0
#: Answers that are remembered, for how long at most in seconds, and questions that may be out at once.
_MOST_REMEMBERED, _LONGEST_REMEMBERED, _MOST_OUT, _MOST_WAITING = 10_000, 3600, 200, 4_000


class _Answer(NamedTuple):
    """What is known of one name, whatever the zone's rules make of it. `problem` is set when nothing is."""

    answers: tuple[str, ...] = ()
    reason: str = ""
    problem: Outcome | None = None


@dataclass(slots=True)
class _Silence:
    """Unanswered look-ups in a row, and until when nobody waits."""

    count: int = 0
    until: float = 0.0


class Lookups:
    """The look-ups of one event loop, with their memory."""

    def __init__(
        self, resolver: AsyncResolver, *, wait: float = WAIT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._resolver = resolver
        self._wait = wait
        self._clock = clock
        self._remembered: OrderedDict[str, tuple[float, _Answer]] = OrderedDict()
        self._running: dict[str, asyncio.Task[_Answer]] = {}
        self._silences: dict[str, _Silence] = {}
        self._slots = asyncio.Semaphore(_MOST_OUT)

    async def look_up(self, ip: str, zones: Sequence[Zone], *, thorough: bool = False) -> list[Finding]:
        """What *zones* say of *ip*, in their order, after `WAIT` seconds at most.

        It ends with the first that refuses; *thorough* asks all and waits for all.
        """
        found: dict[str, Finding] = {}
        pending: dict[asyncio.Task[_Answer], Zone] = {}
        for zone in zones:
            name = query_name(str(normalise_ip(ip)), zone.name)
            if known := self._recall(name):
                found[zone.name] = _finding(zone, known)
                continue
            patient = thorough or self._clock() >= self._silence(zone.name).until
            task = self._task(name, zone.name)
            if task and patient:
                pending[task] = zone
            else:
                found[zone.name] = Finding(zone, Outcome.NOT_WAITED)
        deadline = asyncio.get_running_loop().time() + self._wait
        while pending and (thorough or not any(finding.refuses for finding in found.values())):
            left = deadline - asyncio.get_running_loop().time()
            done, _ = await asyncio.wait(pending, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            for task in done:
                zone = pending.pop(task)
                found[zone.name] = _finding(zone, task.result())
        for zone in pending.values():
            found[zone.name] = Finding(zone, Outcome.SILENT)
        return [found[zone.name] for zone in zones]

    def _recall(self, name: str) -> _Answer | None:
        until, answer = self._remembered.get(name, (0.0, None))
        if answer is None or until <= self._clock():
            self._remembered.pop(name, None)
            return None
        self._remembered.move_to_end(name)
        return answer

    def _remember(self, name: str, answer: _Answer, ttl: int) -> None:
        if ttl <= 0:
            return
        self._remembered[name] = (self._clock() + min(ttl, _LONGEST_REMEMBERED), answer)
        self._remembered.move_to_end(name)
        while len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    def _silence(self, zone: str) -> _Silence:
        return self._silences.setdefault(zone, _Silence())

    def _task(self, name: str, zone: str) -> asyncio.Task[_Answer] | None:
        """The question that is out already, or a new one; None when there are too many."""
        if task := self._running.get(name):
            return task
        if len(self._running) >= _MOST_WAITING:
            return None
        task = self._running[name] = asyncio.create_task(self._ask(name, zone))
        task.add_done_callback(lambda _: self._running.pop(name, None))
        return task

    async def _ask(self, name: str, zone: str) -> _Answer:
        loop = asyncio.get_running_loop()
        # A little sooner than who waits, so that a silence is counted by the time that the banner comes.
        deadline = loop.time() + self._wait - 0.1
        try:
            async with asyncio.timeout_at(deadline):
                await self._slots.acquire()
        except TimeoutError:
            return _Answer(problem=Outcome.NOT_WAITED)  # our own crowd, not the zone's silence
        try:
            answer, ttl = await ask(self._resolver, name, deadline - loop.time())
        finally:
            self._slots.release()
        silence = self._silence(zone)
        if answer.problem is Outcome.SILENT:
            silence.count += 1
            if silence.count >= PATIENCE:
                silence.until = self._clock() + IMPATIENCE
        else:
            silence.count, silence.until = 0, 0.0
        self._remember(name, answer, ttl)
        return answer


async def ask(resolver: AsyncResolver, name: str, lifetime: float) -> tuple[_Answer, int]:
    """What *name* has, and for how long that holds, in seconds; the TXT record is asked for where there is an A."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + lifetime
    try:
        found = await resolver.addresses(name, lifetime)
    except Silent:
        return _Answer(problem=Outcome.SILENT), 0
    except LookupFailed:
        return _Answer(problem=Outcome.FAILED), 0
    reason = ""
    left = min(_REASON_WAIT, deadline - loop.time())
    if left > 0 and Zone(0, "", "on").outcome(found.records) is Outcome.LISTED:
        with contextlib.suppress(LookupFailed):
            reason = clean_reason(" ".join((await resolver.texts(name, left)).records))
    return _Answer(found.records, reason), found.ttl


def _finding(zone: Zone, answer: _Answer) -> Finding:
    if answer.problem:
        return Finding(zone, answer.problem)
    return Finding(zone, zone.outcome(answer.answers), answer.answers, answer.reason)


class Checkup(NamedTuple):
    """A self-test's result, and what the zone said, in words."""

    health: Health
    said: str


async def check_zone(resolver: AsyncResolver, name: str, lifetime: float = 4.0) -> Checkup:
    """Test the zone called *name*, past all memory, within *lifetime* seconds."""
    zone = Zone(0, name, "on")
    answers = await asyncio.gather(*(ask(resolver, query_name(ip, name), lifetime) for ip in TEST_ADDRESSES))
    found = {ip: _finding(zone, answer) for ip, (answer, _) in zip(TEST_ADDRESSES, answers, strict=True)}
    said = "; ".join(f"{ip} {_SAID[found[ip].outcome].format(*found[ip].answers)}" for ip in TEST_ADDRESSES[:2])
    return Checkup(self_test({ip: finding.outcome for ip, finding in found.items()}), f"{said}.")


_SAID = {
    Outcome.LISTED: "is listed ({})",
    Outcome.NOT_LISTED: "is not listed",
    Outcome.REFUSED: "was answered with {}, a refusal",
    Outcome.OUTSIDE: "was answered with {}, which is no blocklist's answer",
    Outcome.FAILED: "was answered with an error",
    Outcome.SILENT: "was not answered",
}
