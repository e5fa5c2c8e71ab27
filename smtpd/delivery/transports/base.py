"""What every transport is given and what it owes."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from smtpd.delivery.transports.content import Content
from webapp.core.models import utcnow
from webapp.core.rules.statuses import Status
from webapp.core.services.deliveries import Claimed
from webapp.core.services.outcomes import Attempt, Outcome


@dataclass(frozen=True, slots=True)
class Parcel:
    """One claimed message on its way out.

    *fresh* ones were never tried; what was tried before leaves them room. One that isn't *patient* is put off where
    it would have to wait for others. *load* reads the content, only when it is needed. *is_ours* tells whether the
    leases of these deliveries still hold: ask right before the first octet leaves.
    """

    message: Claimed
    fresh: bool
    load: Callable[[], Awaitable[Content]]
    is_ours: Callable[[Iterable[int]], bool]
    patient: bool = True


#: Mail that would have to wait for others comes again after one or two times so long.
PUT_OFF = timedelta(seconds=1)

#: Records outcomes and returns once they are on disk. Until then the connection that brought them takes no other
#: message: a worker that is killed leaves at most one message a connection in doubt.
Report = Callable[[Sequence[Outcome]], Awaitable[None]]


class Transport(Protocol):
    """Takes a parcel wherever it has to go. Raises nothing for what servers and networks do: that is an outcome."""

    name: str

    async def deliver(self, parcel: Parcel, report: Report) -> None:
        """Try every recipient and report each once. Report nothing, and send nothing, once it isn't ours."""

    async def close(self) -> None:
        """Let go of idle connections; those in use are closed when they come back."""


class Deferring:
    """Defers everything with one reason: what stands in for a transport that can't work as things are set."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self._reason = reason

    async def deliver(self, parcel: Parcel, report: Report) -> None:
        """See `Transport`."""
        attempt = attempt_now(self.name)
        await report([Outcome(i, Status.DEFERRED, self._reason, attempt=attempt) for i in parcel.message.recipients])

    async def close(self) -> None:
        """See `Transport`."""


def put_off(ids: Iterable[int], until: datetime | None = None) -> list[Outcome]:
    """Leave *ids* for later, untried: until then, or for the few seconds that others need to get on."""
    until = until or utcnow() + PUT_OFF * (1 + random.random())  # noqa: S311 - jitter
    return [Outcome(key, Status.DEFERRED, not_before=until) for key in ids]


def attempt_now(transport: str, started_at: datetime | None = None, host: str = "", tls: str | None = None) -> Attempt:
    """An attempt that ends now, and began now unless said otherwise."""
    now = utcnow()
    return Attempt(transport=transport, started_at=started_at or now, ended_at=now, host=host, tls=tls)
