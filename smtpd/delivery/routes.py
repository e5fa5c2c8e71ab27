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
from webapp.core.services.return_paths import ReturnPaths
from webapp.settings import Settings

NO_RELAY = "No relay is configured: set one on the Settings page, or in POSTLATCH_RELAY_URL."


class Routes:
    """Keeps one transport for each way out; another relay gets another transport, with connections of its own."""

    def __init__(
        self,
        settings: Settings,
        *,
        limits: PoolLimits,
        timeouts: Timeouts | None = None,
        return_paths: ReturnPaths | None = None,
    ) -> None:
        self._hostname = settings.hostname
        self._limits = limits
        self._timeouts = timeouts
        self._capture: Transport = CaptureTransport()
        self._mx: Transport = MxTransport(settings, limits=limits, timeouts=timeouts, return_paths=return_paths)
        self._relays: dict[RelayTarget, RelayTransport] = {}
        self._retired: set[asyncio.Task[None]] = set()

    def choose(self, message: Claimed, current: Current) -> Transport:
        """The transport for *message*. What came in during capture mode stays captured whatever the mode is now.

        A domain's own relay wins over the relay for all, and over direct delivery.
        """
        if message.captured or current.delivery == "capture":
            return self._capture
        own = current.domain_relays.get(message.domain_id)
        if current.delivery == "mx" and own is None:
            return self._mx
        target = own or current.relay
        return self._relay_to(target, current) if target else Deferring("relay", NO_RELAY)

    async def close(self) -> None:
        """Close every transport."""
        await self._mx.close()
        await asyncio.gather(*(relay.close() for relay in self._relays.values()), *self._retired)

    def _relay_to(self, target: RelayTarget, current: Current) -> RelayTransport:
        if target not in self._relays:
            self._retire(self._relays.keys() - {current.relay, *current.domain_relays.values()})
            self._relays[target] = RelayTransport(
                target, hostname=self._hostname, limits=self._limits, timeouts=self._timeouts
            )
        return self._relays[target]

    def _retire(self, targets: set[RelayTarget]) -> None:
        """Let go of relays that no setting names any more."""
        for target in targets:
            task = asyncio.get_running_loop().create_task(self._relays.pop(target).close())
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)
