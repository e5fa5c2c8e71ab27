"""The listener for reports."""

from __future__ import annotations

from dataclasses import replace

import structlog

from smtpd.bounces.protocol import KEPT, BounceProtocol, ReportGateway
from smtpd.submission.conversation import Conversation
from smtpd.submission.environment import Environment
from smtpd.submission.limits import ConnectionCounter, MemoryBudget
from smtpd.submission.server import Server
from webapp.core.services.return_paths import ReturnPaths
from webapp.settings import Bind

log = structlog.get_logger(__name__)

#: Few come, and they must not take the room of those who send.
MOST_CONNECTIONS, MOST_CONNECTIONS_PER_NETWORK = 100, 10


class BounceServer(Server):
    """Listens on one port, in clear with STARTTLS. It shares submission's certificate and threads, and no limit."""

    def __init__(
        self, environment: Environment, bind: Bind, *, gateway: ReportGateway, return_paths: ReturnPaths
    ) -> None:
        own = replace(
            environment,
            counter=ConnectionCounter(MOST_CONNECTIONS, MOST_CONNECTIONS_PER_NETWORK),
            budget=MemoryBudget(MOST_CONNECTIONS * KEPT),
            turned_away=0,
        )
        super().__init__(own, most_connections=MOST_CONNECTIONS)
        self._bind = bind
        self._gateway = gateway
        self._return_paths = return_paths
        self.binds: list[Bind] = []

    async def start(self) -> None:
        """Listen. Raise `ListenError`."""
        self.binds = await self.listen(self._bind, tls=False)
        log.info("bounces_ready", binds=[str(bind) for bind in self.binds])

    def converse(self, ip: str, *, tls: bool, crowded: bool) -> Conversation:
        """See `Server`."""
        return BounceProtocol(
            self.environment,
            ip,
            gateway=self._gateway,
            return_paths=self._return_paths,
            tls=tls,
            crowded=crowded,
        )
