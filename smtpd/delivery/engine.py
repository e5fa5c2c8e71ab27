"""The engine: claims what is due, hands it to a transport, records what became of it, and keeps its leases.

Mail that was never tried and mail that was have a lane each, with room of their own: a pile of retries never keeps
new mail waiting. A lane takes what has waited longest, and may fill up with mail for servers that are slow or dead;
beside it runs one that takes the newest, and puts off what would have to wait there, too. So mail for other servers
gets through at once, whatever else waits.

The event loop never waits on the database; a source is in memory only while it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from time import monotonic
from weakref import WeakValueDictionary

import structlog
from sqlalchemy.orm import Session

from smtpd.delivery.hand import Hand
from smtpd.delivery.identity import Identity
from smtpd.delivery.routes import Routes
from smtpd.delivery.transports.base import Parcel, Transport, attempt_now
from smtpd.delivery.transports.connect import Timeouts
from smtpd.delivery.transports.content import Content
from smtpd.delivery.transports.pool import PoolLimits
from webapp.core.database import UNAVAILABLE
from webapp.core.models import utcnow
from webapp.core.off_loop import OffLoop, stopped_within
from webapp.core.rules.refusals import Refused
from webapp.core.rules.statuses import Status
from webapp.core.services.deliveries import RENEW_EVERY, Claimed, claim, load_source, release, renew
from webapp.core.services.failure_notices import tell_senders
from webapp.core.services.gateway import Gateway
from webapp.core.services.group_commit import GroupCommit, Together
from webapp.core.services.outcomes import Outcome, RetryPolicy, record
from webapp.core.services.preferences import Current

log = structlog.get_logger(__name__)

#: At a stop, what is in flight may take this long, in seconds.
FINISH_SECONDS = 6.0
#: While the database is gone, it is asked again after this long, in seconds.
DATABASE_SECONDS = 1.0


#: Deliveries that one claim takes at most, and so the recipients of one transaction: what every server has to take
#: (RFC 5321 section 4.5.3.1.8).
CLAIM = 100
#: While there is more than fits, room is looked for this often, in seconds.
BUSY_SECONDS = 0.02
#: Connections that one message with very many recipients may use at once.
PARCELS_OF_A_MESSAGE = 2


@dataclass(frozen=True, slots=True)
class Lane:
    """`room` is how many parcels may be in hand; `poll` how often an empty queue is asked, in seconds.

    One that is `beside` another only works while that one has more to do than fits, and then takes the newest.
    """

    fresh: bool
    room: int
    poll: float
    beside: Lane | None = None


NEW = Lane(fresh=True, room=100, poll=0.2)
RETRIES = Lane(fresh=False, room=50, poll=1.0)
LANES = (
    NEW,
    RETRIES,
    Lane(fresh=True, room=100, poll=0.5, beside=NEW),
    Lane(fresh=False, room=50, poll=1.0, beside=RETRIES),
)
#: Deliveries that the newer lanes claim at once: most may have to be put off.
CLAIM_BESIDE = 25
#: A deferred one may turn out to be too old.
_MAY_HAVE_FAILED = frozenset({Status.BOUNCED, Status.FAILED, Status.DEFERRED})


class SourceGoneError(Exception):
    """The message's source is no longer stored."""


class DeliveryEngine:
    """Mail delivery of one worker. Use it for one `run`."""

    def __init__(self, gateway: Gateway, *, limits: PoolLimits | None = None, timeouts: Timeouts | None = None) -> None:
        settings = gateway.settings
        limits = limits or PoolLimits()
        cool_down = min(limits.cool_down, settings.retry_first.total_seconds())
        self._gateway = gateway
        self._policy = RetryPolicy(first=settings.retry_first, max_age=settings.retry_max_age)
        self._routes = Routes(
            settings,
            limits=replace(limits, cool_down=cool_down),
            timeouts=timeouts,
            return_paths=gateway.return_paths,
        )
        self._writer = GroupCommit(gateway.database, name="outcomes")
        self._outcomes = Together(self._writer, self._record)
        self._off_loop = OffLoop(gateway.database, name="delivery", threads=4)
        self._identity = Identity.take(settings.data_dir)
        self._hand = Hand()
        self._tasks: set[asyncio.Task[None]] = set()
        self._overflowing: set[Lane] = set()
        self._crowded = False  # whether mail was put off lately: asking for more so soon would be in vain
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until *stop* is set, then finish or give back what is in hand."""
        if self._identity.inherited:
            await self._give_back()  # before anything is claimed under the same name
        tasks = [
            asyncio.create_task(self._keep_leases(stop)),
            *(asyncio.create_task((self._work_beside if lane.beside else self._work)(lane, stop)) for lane in LANES),
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await self._finish()

    async def _work(self, lane: Lane, stop: asyncio.Event) -> None:
        """Keep *lane* supplied. It claims in batches, once half its room is free: a claim costs a sync to disk."""
        while not stop.is_set():
            full = self._hand.parcels(lane) > lane.room // 2
            more = full or await self._take(lane)
            (self._overflowing.add if more else self._overflowing.discard)(lane)
            await stopped_within(stop, BUSY_SECONDS if more else lane.poll)

    async def _work_beside(self, lane: Lane, stop: asyncio.Event) -> None:
        """Take the newest of what the lane beside can't take in."""
        more = False
        while not await stopped_within(stop, BUSY_SECONDS if more and not self._crowded else lane.poll):
            more = False
            if lane.beside in self._overflowing and self._hand.parcels(lane) < lane.room:
                self._crowded = False
                more = await self._take(lane)

    async def _take(self, lane: Lane) -> bool:
        """Claim for *lane* and start delivering. Return whether there is likely more."""
        asked_at = monotonic()
        limit = min(CLAIM_BESIDE if lane.beside else CLAIM, lane.room - self._hand.parcels(lane))
        try:
            current, claimed = await self._off_loop.run(partial(self._claim, lane, limit))
        except UNAVAILABLE as error:
            self._off_loop.note(error)
            return False
        self._off_loop.note(None)
        for message in claimed:
            if mine := self._hand.take(message, lane=lane, asked_at=asked_at):
                task = asyncio.create_task(self._deliver(mine, self._routes.choose(mine, current), lane))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        return sum(len(message.recipients) for message in claimed) == limit

    def _claim(self, lane: Lane, limit: int) -> tuple[Current, list[Claimed]]:
        # The mode is read before the claim: what is claimed after a change to capture doesn't leave.
        current = self._gateway.preferences.current()
        self._policy = replace(self._policy, soft_bounces=current.soft_bounces)
        newest, lease = lane.beside is not None, self._identity.lease
        with self._gateway.database.session() as session:
            taken = claim(session, lease=lease, now=utcnow(), limit=limit, fresh=lane.fresh, newest_first=newest)
            if current.delivery == "capture" and not all(message.captured for message in taken):
                # Taken in to leave, so a process knew of a later change than this one: capturing it would lose it.
                current = self._gateway.preferences.read(session)
        return current, taken

    async def _deliver(self, message: Claimed, transport: Transport, lane: Lane) -> None:
        parcel = Parcel(
            message,
            fresh=lane.fresh,
            patient=lane.beside is None,
            load=partial(self._load, message.message_id),
            is_ours=self._hand.holds,
        )
        turns = self._turns.setdefault(message.message_id, asyncio.Semaphore(PARCELS_OF_A_MESSAGE))
        try:
            async with turns:
                if left := await self._spare(parcel, transport):
                    await transport.deliver(left, self._report)
        except UNAVAILABLE as error:
            self._off_loop.note(error)  # the lease ends by itself
        except SourceGoneError:
            await self._report(
                [Outcome(i, Status.FAILED, "The message is no longer stored.") for i in message.recipients]
            )
        except Exception:
            log.exception("delivery_error", message=message.message_id)
            reason, attempt = "An unexpected error, which the worker's log shows.", attempt_now(transport.name)
            await self._report([Outcome(i, Status.DEFERRED, reason, attempt=attempt) for i in message.recipients])
        finally:
            self._hand.drop(message)

    async def _spare(self, parcel: Parcel, transport: Transport) -> Parcel | None:
        """End what the suppression list stops; return what is left of *parcel*. In capture nothing leaves anyway."""
        message = parcel.message
        stopped = {id_: why for id_, why in message.suppressed.items() if id_ in message.recipients}
        if not stopped or transport.name == "capture":
            return parcel
        await self._report([Outcome(id_, Status.FAILED, why) for id_, why in stopped.items()])
        left = {id_: address for id_, address in message.recipients.items() if id_ not in stopped}
        return replace(parcel, message=replace(message, recipients=left)) if left else None

    async def _load(self, message_id: str) -> Content:
        return await self._off_loop.in_session(partial(self._read, message_id=message_id))

    def _read(self, session: Session, message_id: str) -> Content:
        source = load_source(session, message_id)
        if source is None:
            raise SourceGoneError
        paths = self._gateway.return_paths
        host = paths.host_of(session, message_id) if paths else None
        return Content(source, self._gateway.signing.of(session, message_id), host)

    async def _report(self, outcomes: Sequence[Outcome]) -> None:
        """Return once *outcomes* are on disk, however long the database is gone: the mail has left already."""
        self._crowded |= any(outcome.attempt is None and outcome.not_before for outcome in outcomes)
        while outcomes:
            try:
                held = await asyncio.wrap_future(self._outcomes.submit(outcomes))
            except Refused:
                await asyncio.sleep(DATABASE_SECONDS)
                continue
            for outcome in outcomes:
                log.info(
                    "delivery" if outcome.delivery_id in held else "delivery_of_another_worker",
                    id=outcome.delivery_id,
                    status=str(outcome.status),
                    code=outcome.smtp_code,
                    host=outcome.attempt.host if outcome.attempt else None,
                )
            return

    def _record(self, session: Session, reports: Sequence[Sequence[Outcome]]) -> set[int]:
        """See `record`; in the same transaction senders are told of what has failed for good."""
        outcomes, now = list(chain.from_iterable(reports)), utcnow()
        held = record(session, outcomes, lease=self._identity.lease, policy=self._policy, now=now)
        ended = held & {outcome.delivery_id for outcome in outcomes if outcome.status in _MAY_HAVE_FAILED}
        tell_senders(session, ended, hostname=self._gateway.settings.hostname, now=now)
        return held

    async def _keep_leases(self, stop: asyncio.Event) -> None:
        seconds = RENEW_EVERY.total_seconds()
        while not await stopped_within(stop, seconds):
            ids, asked_at = self._hand.ids(), monotonic()
            if not ids:
                continue
            try:
                work = partial(renew, lease=self._identity.lease, ids=ids, now=utcnow())
                held = await self._off_loop.in_session(work)
            except UNAVAILABLE as error:
                self._off_loop.note(error)
                seconds = DATABASE_SECONDS
            else:
                self._hand.renewed(ids, held, asked_at=asked_at)
                seconds = RENEW_EVERY.total_seconds()

    async def _finish(self) -> None:
        """Let what is being sent end, give back the rest, and close everything."""
        self._hand.close()
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=FINISH_SECONDS)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        await self._give_back()
        await self._routes.close()
        await asyncio.to_thread(self._writer.close)
        self._off_loop.close()
        self._identity.close()

    async def _give_back(self) -> None:
        """Release all that is leased under this name. Without a database the leases end by themselves."""
        try:
            count = await self._off_loop.in_session(partial(release, lease=self._identity.lease, now=utcnow()))
        except UNAVAILABLE as error:
            self._off_loop.note(error)
        else:
            if count:
                log.info("leases_released", count=count)
