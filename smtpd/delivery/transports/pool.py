"""Connections to one destination: opened when needed, used again, few at a time, and none for a while when it is down.

Mail that was never tried may use every connection, retries only some of them: what waits never keeps new mail
waiting. While the destination cools down, retries are turned away at once, and new mail is when it would have to
wait for others that are just finding out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from smtpd.delivery.transports.connect import UnreachableError
from smtpd.delivery.transports.session import SmtpSession
from webapp.core.models import utcnow


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """`connections` in all, of which retries use at most `retries`; `idle` and `cool_down` in seconds."""

    connections: int = 8
    retries: int = 4
    messages: int = 100  # on one connection
    idle: float = 15.0
    cool_down: float = 30.0


class CoolingDownError(Exception):
    """The destination was found down a moment ago, for the *cause*, and is left alone until *until*."""

    def __init__(self, cause: UnreachableError, until: datetime) -> None:
        self.cause = cause
        self.until = until
        super().__init__(cause.reason)


class BusyError(Exception):
    """All connections that this mail may have are in use."""


class Pool:
    """Lends sessions. *open_session* raises `UnreachableError`."""

    def __init__(self, open_session: Callable[[], Awaitable[SmtpSession]], limits: PoolLimits) -> None:
        self._open = open_session
        self._limits = limits
        self._permits = asyncio.Semaphore(limits.connections)
        self._retry_permits = asyncio.Semaphore(limits.retries)
        self._idle: deque[tuple[float, SmtpSession]] = deque()  # when it came back; the freshest at the right
        self._users = 0  # who has a session or waits for one
        self._lent = 0
        self._down_until = 0.0
        self._why_down = UnreachableError("")
        self._farewells: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @asynccontextmanager
    async def session(self, *, fresh: bool, patient: bool = True) -> AsyncIterator[SmtpSession]:
        """A session for one message. Raise `UnreachableError`, `CoolingDownError`, or `BusyError` unless *patient*."""
        self._turn_away(waits=not fresh or self._permits.locked())
        if not patient and (self._permits.locked() or (not fresh and self._retry_permits.locked())):
            raise BusyError
        self._users += 1
        try:
            async with nullcontext() if fresh else self._retry_permits:
                waits = self._permits.locked()
                async with self._permits:
                    self._turn_away(waits=waits or not fresh)
                    session = self._take_idle() or await self._connect()
                    self._lent += 1
                    try:
                        yield session
                    finally:
                        self._lent -= 1
                        self._put_back(session)
        finally:
            self._users -= 1

    @property
    def cooling_down(self) -> bool:
        """Whether it was found down a moment ago."""
        return monotonic() < self._down_until

    @property
    def unused(self) -> bool:
        """Whether it holds nothing: no connection, nobody who waits for one, no finding that still counts."""
        return not (self._idle or self._users or self._farewells or self.cooling_down)

    async def close(self) -> None:
        """Take leave on idle connections; those in use are closed when they come back."""
        self._closed = True
        self._sweep()
        await asyncio.gather(*self._farewells)

    def _turn_away(self, *, waits: bool) -> None:
        """Raise `CoolingDownError` if the destination is cooling down, and this one *waits* for others' findings."""
        remaining = self._down_until - monotonic()
        if waits and remaining > 0:
            raise CoolingDownError(self._why_down, utcnow() + timedelta(seconds=remaining))

    async def _connect(self) -> SmtpSession:
        try:
            session = await self._open()
        except UnreachableError as error:
            if self._lent:  # it is up, and has enough of us
                error.final = False
            else:
                self._down_until = monotonic() + self._limits.cool_down
                self._why_down = error
            raise
        self._down_until = 0.0
        return session

    def _take_idle(self) -> SmtpSession | None:
        while self._idle:
            session = self._idle.pop()[1]
            if session.usable:
                return session
        return None

    def _put_back(self, session: SmtpSession) -> None:
        if not session.usable:
            return
        self._idle.append((monotonic(), session))
        if self._closed or session.taken >= self._limits.messages:
            self._idle.pop()
            self._dismiss(session)
        elif self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._limits.idle, self._sweep)

    def _sweep(self) -> None:
        """Dismiss what was idle for too long, and come again while there is more."""
        if self._sweeper:
            self._sweeper.cancel()
            self._sweeper = None
        oldest = monotonic() - self._limits.idle
        while self._idle and (self._closed or self._idle[0][0] <= oldest):
            self._dismiss(self._idle.popleft()[1])
        if self._idle:
            wait = max(0.1, self._idle[0][0] - oldest)
            self._sweeper = asyncio.get_running_loop().call_later(wait, self._sweep)

    def _dismiss(self, session: SmtpSession) -> None:
        task = asyncio.get_running_loop().create_task(session.quit())
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)
