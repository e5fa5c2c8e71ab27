"""The worker's job: takes messages that lack files, a few at a time, and finishes them or ends them with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from functools import partial

import httpx
import structlog
from sqlalchemy.orm import Session

from integrations.attachments.fetch import PATIENCE, FetchFailed, fetch
from webapp.core.database import UNAVAILABLE
from webapp.core.models import utcnow
from webapp.core.off_loop import OffLoop
from webapp.core.rules.compose import AttachedFile
from webapp.core.services.gateway import Gateway
from webapp.core.services.outcomes import RetryPolicy
from webapp.core.services.unfinished import (
    LONGEST_TRY,
    MOST_TRIES,
    RENEW_EVERY,
    Unfinished,
    claim,
    complete,
    give_back,
    give_up,
    put_off,
    renew,
    still_wanted,
    stored_size,
)
from webapp.net.targets import TargetGuard

log = structlog.get_logger(__name__)

#: Messages whose files are fetched at once; each may hold as much memory as the largest message.
AT_ONCE = 4
#: How often the queue is asked, in seconds.
POLL = 0.3
#: At a stop, what is being fetched may take this long, in seconds.
FINISH_SECONDS = 2.0


def attachments_job(
    gateway: Gateway, *, transport: httpx.AsyncBaseTransport | None = None
) -> Callable[[asyncio.Event], Awaitable[None]]:
    """What the worker runs to fetch attachments, by *transport* or one that calls public addresses only."""

    async def run(stop: asyncio.Event) -> None:
        carrier = transport or TargetGuard.of(gateway.settings).transport()
        async with httpx.AsyncClient(transport=carrier, timeout=PATIENCE, follow_redirects=False) as client:
            await _Fetching(gateway, client).run(stop)

    return run


class _Fetching:
    def __init__(self, gateway: Gateway, client: httpx.AsyncClient) -> None:
        self._gateway = gateway
        self._client = client
        self._most = gateway.settings.max_message_bytes
        self._policy = RetryPolicy(first=gateway.settings.retry_first, max_age=gateway.settings.retry_max_age)
        self._off_loop = OffLoop(gateway.database, name="attachments", threads=2)
        self._tasks: dict[asyncio.Task[None], Unfinished] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Fetch until *stop* is set."""
        renewed_at = utcnow()
        try:
            while not stop.is_set():
                if room := AT_ONCE - len(self._tasks):
                    for claimed in await self._off_loop.in_session(partial(claim, now=utcnow(), limit=room)):
                        task = asyncio.create_task(self._finish(claimed))
                        self._tasks[task] = claimed
                        task.add_done_callback(self._tasks.pop)
                if utcnow() - renewed_at >= RENEW_EVERY:
                    renewed_at = utcnow()
                    await self._off_loop.in_session(partial(renew, claimed=list(self._tasks.values()), now=renewed_at))
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), POLL)
        finally:
            if self._tasks:
                _, unfinished = await asyncio.wait(self._tasks, timeout=FINISH_SECONDS)
                for task in unfinished:
                    task.cancel()
                await asyncio.gather(*unfinished, return_exceptions=True)
            self._off_loop.close()

    async def _finish(self, claimed: Unfinished) -> None:
        """Fetch the message's files and let it go, or say what is in the way. Without a database the claim ends."""
        try:
            await self._try(claimed)
        except UNAVAILABLE as error:
            log.warning("database_unavailable", error=type(error).__name__)
        except asyncio.CancelledError:
            with suppress(*UNAVAILABLE):
                await self._off_loop.in_session(partial(give_back, claimed=claimed, now=utcnow()))
            raise
        except Exception:
            log.exception("attachments_error", message=claimed.message_id)
            await self._failed(claimed, FetchFailed("An unexpected error, which the worker's log shows."))

    async def _try(self, claimed: Unfinished) -> None:
        if claimed.attempt > MOST_TRIES:  # each was broken off
            await self._failed(claimed, FetchFailed("The attachments could not be fetched.", final=True))
            return
        if not await self._off_loop.in_session(partial(still_wanted, claimed=claimed)):
            return
        left = self._most - await self._off_loop.in_session(partial(stored_size, claimed=claimed))
        try:
            async with asyncio.timeout(LONGEST_TRY.total_seconds()):
                files = await self._files(claimed, left)
        except TimeoutError:
            await self._failed(claimed, FetchFailed("The attachments could not be fetched in time."))
        except FetchFailed as failure:
            await self._failed(claimed, failure)
        else:
            done = partial(complete, claimed=claimed, files=files, limit=self._most, now=utcnow())
            if await self._off_loop.in_session(done):
                log.info("attachments_fetched", message=claimed.message_id, files=len(files))
            else:
                most = f"at most {self._gateway.settings.max_message_mb} MB"
                text = f"The message is too large with its attachments: {most}."
                await self._failed(claimed, FetchFailed(text, final=True))

    async def _files(self, claimed: Unfinished, left: int) -> list[AttachedFile]:
        files = []
        for link in claimed.links:
            files.append(await fetch(self._client, link, most=left))
            left -= len(files[-1].content)
        return files

    async def _failed(self, claimed: Unfinished, failure: FetchFailed) -> None:
        def note(session: Session) -> None:
            now: datetime = utcnow()
            if failure.final or not put_off(session, claimed, first=self._policy.first, now=now):
                give_up(session, claimed, str(failure), policy=self._policy, now=now)

        await self._off_loop.in_session(note)
        log.info("attachments_not_fetched", message=claimed.message_id, attempt=claimed.attempt, because=str(failure))
