"""Direct delivery: each recipient's domain says which servers take its mail, and one of them gets it.

The recipients of a message are grouped by the servers of their domains. Each server has a pool of its own, shared by
all domains that name it, so that one which is down or slow holds up nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from time import monotonic

import structlog

from smtpd.delivery.transports.base import Parcel, Report, attempt_now, put_off
from smtpd.delivery.transports.connect import Endpoint, Timeouts, UnreachableError, connect
from smtpd.delivery.transports.pool import BusyError, CoolingDownError, Pool, PoolLimits
from smtpd.delivery.transports.replies import Answer
from smtpd.delivery.transports.session import Envelope, SmtpSession, StaleConnectionError
from webapp.core.models import utcnow
from webapp.core.rules.addresses import domain_of
from webapp.core.rules.networks import Address
from webapp.core.rules.statuses import Status
from webapp.core.services.deliveries import Claimed
from webapp.core.services.outcomes import Outcome
from webapp.core.services.return_paths import ReturnPath, ReturnPaths
from webapp.net.exchangers import Exchanger, MailDns, NoExchangerError, in_order
from webapp.net.resolver import LookupFailed
from webapp.net.targets import may_call
from webapp.settings import Settings

log = structlog.get_logger(__name__)

#: Addresses of one host that are tried at most.
MOST_ADDRESSES = 4
#: No further server is begun with after so long, in seconds: the next try goes on.
PATIENCE_SECONDS = 120.0
#: Pools kept before those that hold nothing are dropped.
MOST_POOLS = 500


@dataclass(slots=True)
class _Group:
    """Recipients of one message whose domains have the same servers, and what came of it so far."""

    left: dict[int, str]
    answers: dict[int, Outcome] = field(default_factory=dict)  # of servers that were not up to it
    unreachable: list[tuple[str, UnreachableError]] = field(default_factory=list)
    resting: list[CoolingDownError] = field(default_factory=list)


class MxTransport:
    """Delivers to the exchangers of each recipient's domain."""

    name = "mx"

    def __init__(
        self,
        settings: Settings,
        *,
        limits: PoolLimits | None = None,
        timeouts: Timeouts | None = None,
        return_paths: ReturnPaths | None = None,
    ) -> None:
        """With *return_paths*, mail leaves from an address to which reports on it come back."""
        self._settings = settings
        self._limits = limits or PoolLimits()
        self._timeouts = timeouts or Timeouts()
        self._dns = MailDns(settings.dns, own_name=settings.hostname)
        self._return_paths = return_paths
        self._pools: dict[str, Pool] = {}

    async def deliver(self, parcel: Parcel, report: Report) -> None:
        """See `Transport`."""
        started_at = utcnow()
        domains: dict[str, dict[int, str]] = {}
        for key, address in parcel.message.recipients.items():
            domains.setdefault(domain_of(address).lower(), {})[key] = address
        groups: dict[tuple[Exchanger, ...], _Group] = {}
        outcomes: list[Outcome] = []
        found = await asyncio.gather(*map(self._dns.exchangers, domains), return_exceptions=True)
        for (domain, recipients), exchangers in zip(domains.items(), found, strict=True):
            if isinstance(exchangers, BaseException):
                outcomes += self._without_exchangers(domain, recipients, exchangers, started_at)
            else:
                groups.setdefault(exchangers, _Group({})).left.update(recipients)
        if outcomes:
            await report(outcomes)
        # Every group ends before an error of one is told: the others are in the middle of sending.
        deliveries = (self._to(exchangers, group, parcel, report) for exchangers, group in groups.items())
        for ended in await asyncio.gather(*deliveries, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended

    async def close(self) -> None:
        """See `Transport`."""
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))

    def _without_exchangers(
        self, domain: str, ids: Iterable[int], error: BaseException, started_at: datetime
    ) -> list[Outcome]:
        attempt = attempt_now(self.name, started_at)
        if isinstance(error, NoExchangerError):
            return [Outcome(key, Status.BOUNCED, error.reason, error.code, attempt) for key in ids]
        if isinstance(error, LookupFailed):
            reason = f"4.4.3 The DNS does not answer for {domain}."
            return [Outcome(key, Status.DEFERRED, reason, 451, attempt) for key in ids]
        raise error

    async def _to(self, exchangers: tuple[Exchanger, ...], group: _Group, parcel: Parcel, report: Report) -> None:
        """Ask one server after the other, until every recipient of *group* has an answer that counts."""
        started_at, begun = utcnow(), monotonic()
        hosts = in_order(exchangers)
        # What was down a moment ago is asked only when there is nothing better.
        hosts.sort(key=lambda host: self._pool(host).cooling_down)
        busy = False
        for host in hosts:
            if monotonic() - begun > PATIENCE_SECONDS:
                break
            try:
                if not await self._ask(host, group, parcel, report, started_at):
                    return
            except UnreachableError as error:
                log.info("exchanger_unreachable", host=host, reason=error.reason)
                group.unreachable.append((host, error))
            except CoolingDownError as error:
                group.resting.append(error)
            except BusyError:
                busy = True
            if not group.left:
                return
        await report(self._leftover(group, parcel, started_at, busy=busy))

    async def _ask(self, host: str, group: _Group, parcel: Parcel, report: Report, started_at: datetime) -> bool:
        """Offer *host* the message and record its answers. Return False when the message isn't ours any more."""
        pool = self._pool(host)
        while True:
            try:
                async with pool.session(fresh=parcel.fresh, patient=parcel.patient) as session:
                    left, content = dict(group.left), await parcel.load()
                    sender = self._sender(parcel.message, left, content.return_host)
                    envelope = Envelope.of(parcel.message, left, content, sender=sender)
                    if not parcel.is_ours(group.left):
                        return False
                    answers = await session.send(envelope)
                    outcomes = self._outcomes(answers, session, started_at)
                    settled = [outcomes[key] for key, answer in answers.items() if not answer.elsewhere]
                    if settled:
                        await report(settled)
            except StaleConnectionError:
                continue
            for key, answer in answers.items():
                if answer.elsewhere:
                    group.answers[key] = outcomes[key]
                else:
                    del group.left[key]
            return True

    def _sender(self, message: Claimed, recipients: Collection[int], host: str | None) -> str:
        """Whom the message leaves from; the null sender stays, since what has it is never answered."""
        if self._return_paths is None or not message.envelope_from:
            return message.envelope_from
        only = next(iter(recipients)) if len(recipients) == 1 else None
        return self._return_paths.address(ReturnPath(message.message_id, only), host)

    def _outcomes(
        self, answers: Mapping[int, Answer], session: SmtpSession, started_at: datetime
    ) -> dict[int, Outcome]:
        attempt = attempt_now(self.name, started_at, session.label, session.tls)
        return {
            key: Outcome(key, answer.status, answer.reason, answer.code, attempt) for key, answer in answers.items()
        }

    def _leftover(self, group: _Group, parcel: Parcel, started_at: datetime, *, busy: bool) -> list[Outcome]:
        """What to say of those who got no answer that counts from any server."""
        if not group.unreachable and not group.answers:
            if busy:
                return put_off(group.left)
            if not parcel.fresh and group.resting:
                return put_off(group.left, min(error.until for error in group.resting))
        found = group.unreachable + [("", error.cause) for error in group.resting]
        if found:
            # One that may be up later outweighs those that never will.
            host, cause = min(found, key=lambda one: one[1].final)
            label = f"{host}:{self._settings.mx_port}"[:255] if host else ""
            attempt = attempt_now(self.name, started_at, label)
            status = Status.BOUNCED if cause.final and not group.answers and not busy else Status.DEFERRED
            fallback = {key: Outcome(key, status, cause.reason, cause.code, attempt) for key in group.left}
        else:
            fallback = {}
        return [group.answers.get(key) or fallback[key] for key in group.left]

    def _pool(self, host: str) -> Pool:
        key = host.lower()
        if key not in self._pools:
            if len(self._pools) >= MOST_POOLS:
                self._pools = {name: pool for name, pool in self._pools.items() if not pool.unused}
            self._pools[key] = Pool(partial(self._open, host), self._limits)
        return self._pools[key]

    async def _open(self, host: str) -> SmtpSession:
        """Connect to the first address of *host* that takes us. Raise `UnreachableError`."""
        failure: UnreachableError | None = None
        for address in await self._addresses(host):
            try:
                return await self._connect(host, address)
            except UnreachableError as error:
                if error.code is not None and 500 <= error.code < 600:
                    error.final = True  # it refuses us, not only now
                if failure is None or failure.final:
                    failure = error
        assert failure is not None
        raise failure

    async def _addresses(self, host: str) -> list[Address]:
        """The addresses that may be connected to. They are judged here and connected to as they are."""
        try:
            found = await self._dns.addresses(host)
        except LookupFailed:
            raise UnreachableError(f"4.4.3 The DNS does not answer for {host}.", 451) from None
        if not found:
            raise UnreachableError(f"5.4.4 The mail server {host} has no address.", 550, final=True)
        allowed = [one for one in found if may_call(one, allow_private=self._settings.allow_private_mx)]
        if not allowed:
            reason = f"5.4.4 The mail server {host} has no address on the public internet, only {found[0]}."
            raise UnreachableError(reason, 550, final=True)
        return allowed[:MOST_ADDRESSES]

    async def _connect(self, host: str, address: Address) -> SmtpSession:
        port = self._settings.mx_port
        label = f"{host[-190:]}[{address}]:{port}"
        endpoint = Endpoint(name=host, address=str(address), port=port, label=label)
        connected = await connect(endpoint, hostname=self._settings.hostname, timeouts=self._timeouts)
        return SmtpSession(connected, label=label, timeouts=self._timeouts)
