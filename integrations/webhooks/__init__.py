"""Events out: the worker's job that posts them to hooks. `dispatch` runs the queue, `posting` makes one POST."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from integrations.webhooks.dispatch import Dispatcher
from webapp.core.services.gateway import Gateway

__all__ = ["webhooks_job"]


def webhooks_job(gateway: Gateway) -> Callable[[asyncio.Event], Awaitable[None]]:
    """What the worker runs to tell hooks of events: it ends soon after the event that it is given is set."""

    async def run(stop: asyncio.Event) -> None:
        await Dispatcher(gateway).run(stop)

    return run
