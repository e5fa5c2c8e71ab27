"""Which transport a message takes, as the settings in force say."""

from __future__ import annotations

import asyncio

from smtpd.delivery.transports.base import Deferring, Transport
from smtpd.delivery.transports.capture import CaptureTransport
from smtpd.delivery.transports.connect import Timeouts
from smtpd.delivery.transports.mx import MxTransport
from smtpd.delivery.transports.pool import PoolLimits
from smtpd.delivery.transports.relay import RelayTransport
from webapp.core.rules.relay import RelayTarget
from webapp.core.services.deliveries import Claimed
from webapp.core.services.preferences import Current
from webapp.settings import Settings

NO_RELAY = "No relay is configured: set one on the Settings page, or in POSTLATCH_RELAY_URL."


class Routes:
    """Keeps one transport for each way out; another relay gets another transport, with connections of its own."""

    def __init__(self, settings: Settings, *, limits: PoolLimits, timeouts: Timeouts | None = None) -> None:
        self._hostname = settings.hostname
        self._limits = limits
        self._timeouts = timeouts
        self._capture: Transport = CaptureTransport()
        self._mx: Transport = MxTransport(settings, limits=limits, timeouts=timeouts)
        self._relay: RelayTransport | None = None
        self._retired: set[asyncio.Task[None]] = set()

    def choose(self, message: Claimed, current: Current) -> Transport:
        """The transport for *message*. What came in during capture mode stays captured whatever the mode is now."""
        if message.captured or current.delivery == "capture":
            return self._capture
        if current.delivery == "mx":
            return self._mx
        return self._relay_to(current.relay) if current.relay else Deferring("relay", NO_RELAY)

    async def close(self) -> None:
        """Close every transport."""
        await self._mx.close()
        if self._relay:
            await self._relay.close()
        await asyncio.gather(*self._retired)

    def _relay_to(self, target: RelayTarget) -> RelayTransport:
        if self._relay is None or self._relay.target != target:
            if self._relay:
                task = asyncio.get_running_loop().create_task(self._relay.close())
                self._retired.add(task)
                task.add_done_callback(self._retired.discard)
            self._relay = RelayTransport(target, hostname=self._hostname, limits=self._limits, timeouts=self._timeouts)
        return self._relay
