"""Relay: all mail leaves through one smarthost, which takes it from there."""

from __future__ import annotations

from datetime import datetime

import structlog

from smtpd.delivery.transports.base import Parcel, Report, attempt_now, put_off
from smtpd.delivery.transports.connect import Endpoint, Timeouts, UnreachableError, connect
from smtpd.delivery.transports.pool import BusyError, CoolingDownError, Pool, PoolLimits
from smtpd.delivery.transports.session import Envelope, SmtpSession, StaleConnectionError
from webapp.core.models import utcnow
from webapp.core.rules.relay import RelayTarget
from webapp.core.rules.statuses import Status
from webapp.core.services.outcomes import Outcome

log = structlog.get_logger(__name__)


class RelayTransport:
    """Hands mail to *target*, over a few connections that serve many messages each."""

    name = "relay"

    def __init__(
        self,
        target: RelayTarget,
        *,
        hostname: str,
        limits: PoolLimits | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.target = target
        self._hostname = hostname
        self._timeouts = timeouts or Timeouts()
        self._pool = Pool(self._open, limits or PoolLimits())

    async def deliver(self, parcel: Parcel, report: Report) -> None:
        """See `Transport`."""
        started_at = utcnow()
        while True:
            try:
                async with self._pool.session(fresh=parcel.fresh, patient=parcel.patient) as session:
                    outcomes = await self._send(session, parcel, started_at)
                    await report(outcomes)
            except StaleConnectionError:
                continue
            except UnreachableError as error:
                log.warning("relay_unreachable", relay=self.target.label, reason=error.reason)
                await report(self._all_deferred(parcel, started_at, error.reason, error.code))
            except CoolingDownError as error:
                await report(self._put_off(parcel, started_at, error))
            except BusyError:
                await report(put_off(parcel.message.recipients))
            return

    async def close(self) -> None:
        """See `Transport`."""
        await self._pool.close()

    async def _open(self) -> SmtpSession:
        connected = await connect(Endpoint.of(self.target), hostname=self._hostname, timeouts=self._timeouts)
        return SmtpSession(connected, label=self.target.label, timeouts=self._timeouts)

    async def _send(self, session: SmtpSession, parcel: Parcel, started_at: datetime) -> list[Outcome]:
        message = parcel.message
        envelope = Envelope.of(message, message.recipients, await parcel.load())
        if not parcel.is_ours(message.recipients):
            return []
        answers = await session.send(envelope)
        attempt = attempt_now(self.name, started_at, self.target.label, session.tls)
        return [Outcome(key, answer.status, answer.reason, answer.code, attempt) for key, answer in answers.items()]

    def _all_deferred(
        self, parcel: Parcel, started_at: datetime, reason: str, code: int | None = None
    ) -> list[Outcome]:
        attempt = attempt_now(self.name, started_at, self.target.label)
        return [Outcome(key, Status.DEFERRED, reason, code, attempt) for key in parcel.message.recipients]

    def _put_off(self, parcel: Parcel, started_at: datetime, error: CoolingDownError) -> list[Outcome]:
        """New mail shares the others' finding as its first attempt; a retry waits a little longer, uncounted."""
        if parcel.fresh:
            return self._all_deferred(parcel, started_at, error.cause.reason, error.cause.code)
        return [Outcome(key, Status.DEFERRED, not_before=error.until) for key in parcel.message.recipients]
