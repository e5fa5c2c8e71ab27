"""What all connections of one process share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec, Protocol, TypeVar

from smtpd.submission.certificate import Certificate
from smtpd.submission.limits import ConnectionCounter, Limits, MemoryBudget
from webapp.core.rules.blocklists import Finding, Rules
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Accepted, Credential, Peer, Submission
from webapp.core.services.authenticate import MOST_WAITING
from webapp.net.async_resolver import AsyncResolver
from webapp.net.blocklists import Lookups
from webapp.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


class SubmissionGateway(Protocol):
    """What this door calls: a part of `webapp.core.services.gateway.Gateway`, which says what each raises."""

    settings: Settings

    def admit(self, peer: Peer) -> None: ...
    def blocklist_rules(self) -> Rules: ...
    def note_listed(
        self, ip: str, findings: Sequence[Finding], refused_by: Finding | None, reference: str | None
    ) -> None: ...
    def is_familiar(self, ip: str) -> bool: ...
    def check_room(self, peer: Peer) -> None: ...
    def authenticate_smtp(self, username: str, password: str, peer: Peer) -> Credential: ...
    def check_sender(self, credential: Credential, envelope_from: str) -> int: ...
    def check_recipient(self, address: str, *, smtputf8: bool) -> str: ...
    def submit(self, submission: Submission) -> Future[Accepted]: ...
    def refuse(
        self, refused: Refused, peer: Peer, *, credential: Credential | None = None, name: str | None = None
    ) -> None: ...
    def heartbeat(self, process: str) -> None: ...


#: Most of them wait for their turn to hash, which is given fairly; a queue before the threads would not be.
AUTH_THREADS = MOST_WAITING["smtp"] + 8


def _auth_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AUTH_THREADS, thread_name_prefix="smtp-auth")


@dataclass(slots=True, kw_only=True)
class Environment:
    """Services, limits and threads. Strangers have their own threads: a crowd of them must not hold up anybody else."""

    gateway: SubmissionGateway
    certificate: Certificate
    limits: Limits
    counter: ConnectionCounter
    budget: MemoryBudget
    lookups: Lookups
    turned_away: int = 0  # how many that were refused at the banner are still there
    strangers: int = 0  # how many log-ins from unknown addresses are under way
    auth_threads: ThreadPoolExecutor = field(default_factory=_auth_threads)
    stranger_threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(2, thread_name_prefix="door")
    )
    known_threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, thread_name_prefix="known"))
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, thread_name_prefix="smtp"))

    @classmethod
    def build(cls, gateway: SubmissionGateway, limits: Limits | None = None) -> Environment:
        """Everything for *gateway* as its settings say. Raise `CertificateError`."""
        settings, limits = gateway.settings, limits or Limits()
        return cls(
            gateway=gateway,
            certificate=Certificate(*settings.tls_files),
            limits=limits,
            counter=ConnectionCounter(settings.max_connections, settings.max_connections_per_ip),
            # A budget smaller than a few messages would never let a large one through.
            budget=MemoryBudget(max(limits.buffered, 4 * settings.max_message_bytes)),
            lookups=Lookups(AsyncResolver(settings.dns)),
        )

    @property
    def settings(self) -> Settings:
        """The process's settings."""
        return self.gateway.settings

    async def admit(self, peer: Peer) -> Rules:
        """See `Gateway.admit`; return the blocklists' rules, which come next, in the same turn of a thread."""

        def judge() -> Rules:
            self.gateway.admit(peer)
            return self.gateway.blocklist_rules()

        threads = self.known_threads if self.gateway.is_familiar(peer.ip) else self.stranger_threads
        return await asyncio.get_running_loop().run_in_executor(threads, judge)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that blocks, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, lambda: function(*args, **kwargs))

    async def authenticate(self, username: str, password: str, peer: Peer) -> Credential:
        """See `Gateway.authenticate_smtp`. Strangers for whom there is no room are refused at once."""
        loop, log_in = asyncio.get_running_loop(), self.gateway.authenticate_smtp
        if self.gateway.is_familiar(peer.ip):
            return await loop.run_in_executor(self.known_threads, log_in, username, password, peer)
        self.gateway.check_room(peer)
        if self.strangers >= AUTH_THREADS:
            raise Refused(Reason.AUTH_UNAVAILABLE, cause="too_many_log_ins", retry_after=10)
        self.strangers += 1
        try:
            return await loop.run_in_executor(self.auth_threads, log_in, username, password, peer)
        finally:
            self.strangers -= 1

    def close(self) -> None:
        """End the threads once they are done."""
        self.auth_threads.shutdown()
        self.stranger_threads.shutdown()
        self.known_threads.shutdown()
        self.threads.shutdown()
