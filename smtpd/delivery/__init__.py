"""Mail out: the worker's delivery job. `engine` runs the queue, `transports` carry the mail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from smtpd.delivery.engine import DeliveryEngine
from webapp.core.services.gateway import Gateway

__all__ = ["delivery_job"]


def delivery_job(gateway: Gateway) -> Callable[[asyncio.Event], Awaitable[None]]:
    """What the worker runs to deliver mail: it ends soon after the event that it is given is set."""

    async def run(stop: asyncio.Event) -> None:
        await DeliveryEngine(gateway).run(stop)

    return run
