"""The dispatcher: claims what is due, hook by hook, posts it, and records what came of it.

Each hook has room of its own, little of it once it fails, so that slow and dead ones hold up nobody. A host gets no
more than `HOST_PACE` a second, whatever the number of its hooks. The event loop never waits on the database.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from functools import partial
from time import monotonic
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import structlog

from integrations.webhooks.posting import TIMEOUT, post
from webapp.core.database import UNAVAILABLE
from webapp.core.models import utcnow
from webapp.core.off_loop import OffLoop, stopped_within
from webapp.core.rules.refusals import Refused
from webapp.core.services import hook_queue
from webapp.core.services.gateway import Gateway
from webapp.core.services.group_commit import GroupCommit
from webapp.core.services.hook_queue import LEASE, Posted, Posting, Ready
from webapp.core.services.outcomes import RetryPolicy
from webapp.core.services.vault import VaultError
from webapp.net.targets import TargetGuard, trusted_context

log = structlog.get_logger(__name__)

#: How often an empty queue is asked, and one with more than fits, in seconds.
POLL, BUSY = 0.5, 0.05
#: POSTs in flight: to a hook that does well, to one whose last try failed, to all that fail, and altogether.
ROOM, ROOM_FAILING, ROOM_ALL_FAILING, ROOM_ALL = 5, 1, 100, 300
#: POSTs a second to one host; Zapier allows 30.
HOST_PACE = 25.0
#: A POST starts so soon after its claim or not at all, in seconds: its lease must outlast it.
START_WITHIN = LEASE.total_seconds() - TIMEOUT - 5
#: At a stop, what is in flight may take this long, in seconds.
FINISH_SECONDS = 6.0
#: While the database is gone, it is asked again after this long, in seconds.
DATABASE_SECONDS = 1.0


@dataclass(slots=True)
class _Target:
    """What this worker knows of a hook: POSTs in flight, whether the last failed, and when it may be asked again."""

    in_flight: int = 0
    failing: bool = False
    hold_until: float = 0.0  # monotonic

    def room(self, now: float) -> int:
        """How many more POSTs it may get."""
        return 0 if now < self.hold_until else (ROOM_FAILING if self.failing else ROOM) - self.in_flight


class Dispatcher:
    """Tells hooks of events, for one worker. Use it for one `run`."""

    def __init__(self, gateway: Gateway) -> None:
        settings = gateway.settings
        self._gateway = gateway
        self._policy = RetryPolicy(first=settings.retry_first, max_age=settings.retry_max_age)
        self._lease = uuid4().hex
        self._outcomes = GroupCommit(gateway.database, name="hook_outcomes")
        self._off_loop = OffLoop(gateway.database, name="webhooks", threads=2)
        self._targets: dict[int, _Target] = {}
        self._turns: dict[str, float] = {}  # host -> when its next POST may start, monotonic
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Post until *stop* is set, then finish or give back what is in hand."""
        context = await self._off_loop.run(trusted_context)
        transport = TargetGuard.of(self._gateway.settings).transport(verify=context)
        async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=TIMEOUT) as client:
            try:
                while not stop.is_set():
                    more = await self._round(client)
                    await stopped_within(stop, BUSY if more else POLL)
            finally:
                await self._finish()

    async def _round(self, client: httpx.AsyncClient) -> bool:
        """Claim for the hooks that have room, and start posting. Return whether anything was claimed."""
        asked_at = monotonic()
        try:
            wanted = self._wanted(await self._off_loop.in_session(partial(hook_queue.ready, now=utcnow())))
            if not wanted:
                return False
            claim = partial(hook_queue.claim, wanted=wanted, lease=self._lease, now=utcnow())
            claimed = await self._off_loop.in_session(claim)
        except UNAVAILABLE as error:
            self._off_loop.note(error)
            return False
        self._off_loop.note(None)
        for posting in claimed:
            self._target(posting.hook_id).in_flight += 1
            task = asyncio.create_task(self._deliver(client, posting, asked_at))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return bool(claimed)

    def _wanted(self, ready: list[Ready]) -> dict[int, tuple[int, int]]:
        """How much to claim for whom: by hand one at a time, by itself as there is room."""
        now, wanted = monotonic(), {}
        for id_ in [id_ for id_, t in self._targets.items() if not (t.in_flight or t.failing or now < t.hold_until)]:
            del self._targets[id_]
        flying = Counter[bool]()
        for target in self._targets.values():
            flying[target.failing] += target.in_flight
        for hook in ready:
            target = self._target(hook.hook_id)
            most = min(target.room(now), ROOM_ALL - flying.total())
            if target.failing:
                most = min(most, ROOM_ALL_FAILING - flying[True])
            limits = (int(hook.by_hand), max(0, most) if hook.by_itself else 0)
            if any(limits):
                wanted[hook.hook_id] = limits
                flying[target.failing] += sum(limits)
        return wanted

    async def _deliver(self, client: httpx.AsyncClient, posting: Posting, asked_at: float) -> None:
        target = self._target(posting.hook_id)
        try:
            await self._turn(urlsplit(posting.target_url).netloc.lower())
            if monotonic() > asked_at + START_WITHIN:
                return  # the lease might end before the receiver answers: it is claimed again
            posted = await self._post(client, posting)
            target.failing = not posted.ok
            if posted.retry_after:
                target.hold_until = monotonic() + posted.retry_after.total_seconds()
            await self._report(posted)
        except UNAVAILABLE as error:
            self._off_loop.note(error)  # the lease ends by itself
        except Exception:
            log.exception("webhook_error", hook=posting.hook_id, delivery=posting.delivery_id)
        finally:
            target.in_flight -= 1

    async def _post(self, client: httpx.AsyncClient, posting: Posting) -> Posted:
        now = utcnow()
        problem = "The event is no longer stored."
        if posting.payload is not None:
            try:
                secrets = [self._gateway.vault.decrypt(secret) for secret in posting.secrets]
                return await post(client, posting, secrets)
            except VaultError:
                problem = "Its secret can't be read, because the server's secret.key was replaced: make a new one."
        return Posted(posting.delivery_id, posting.hook_id, False, now, now, request="", reason=problem)

    async def _turn(self, host: str) -> None:
        """Wait for the host's next turn."""
        now = monotonic()
        at = max(now, self._turns.get(host, 0.0))
        self._turns[host] = at + 1 / HOST_PACE
        if len(self._turns) > 1000:
            self._turns = {name: when for name, when in self._turns.items() if when > now}
        if at > now:
            await asyncio.sleep(at - now)

    async def _report(self, posted: Posted) -> None:
        """Return once *posted* is on disk, or its lease has ended anyway."""
        give_up = monotonic() + LEASE.total_seconds()
        work = partial(hook_queue.record, posted=[posted], lease=self._lease, policy=self._policy, now=utcnow())
        while monotonic() < give_up:
            try:
                await asyncio.wrap_future(self._outcomes.submit(work))
            except Refused:
                await asyncio.sleep(DATABASE_SECONDS)
                continue
            log.info("webhook", hook=posted.hook_id, id=posted.delivery_id, ok=posted.ok, code=posted.status_code)
            return

    async def _finish(self) -> None:
        """Let what is being posted end, and give back the rest."""
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=FINISH_SECONDS)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        try:
            await self._off_loop.in_session(partial(hook_queue.release, lease=self._lease, now=utcnow()))
        except UNAVAILABLE as error:
            self._off_loop.note(error)
        await asyncio.to_thread(self._outcomes.close)
        self._off_loop.close()

    def _target(self, hook_id: int) -> _Target:
        return self._targets.setdefault(hook_id, _Target())
