"""The listeners: they accept connections, count them, and end them in order."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from abc import ABC, abstractmethod
from typing import Any, cast

import structlog

from smtpd.submission.conversation import Conversation
from smtpd.submission.environment import Environment
from smtpd.submission.protocol import SubmissionProtocol
from smtpd.submission.proxy import ProxyError, read_client_ip
from webapp.core.rules.networks import allowed, normalise_ip
from webapp.settings import Bind

log = structlog.get_logger(__name__)

_BACKLOG = 512
#: Connections beyond the limit that may be there to be told so; for more there is no room even for an answer.
_REFUSALS = 100
#: `accept` fails with these when a client is gone already or a firewall forbids it: nothing to wait for.
_PASSING = frozenset({errno.ECONNABORTED, errno.EPERM, errno.EPROTO})
#: How long messages that are being stored at shutdown may take, in seconds.
_STORING = 20.0


class ListenError(Exception):
    """An address can't be listened on; the text is the one line to show."""


class Server(ABC):
    """Listens, counts connections, and ends them in order. Beyond *most_connections* they are told that it is full."""

    def __init__(self, environment: Environment, *, most_connections: int) -> None:
        self.environment = environment
        self._most_connections = most_connections
        self._listeners: list[tuple[socket.socket, asyncio.Task[None]]] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._arriving: set[asyncio.Task[None]] = set()
        self._conversations: set[Conversation] = set()

    @property
    def connections(self) -> int:
        """How many there are, those that are still in their handshake included."""
        return len(self._connections)

    @abstractmethod
    def converse(self, ip: str, *, tls: bool, crowded: bool) -> Conversation:
        """One connection; *crowded*: there are too many."""

    async def stop(self) -> None:
        """Stop listening, tell everybody, let messages that have come in be stored, and hang up."""
        for sock, task in self._listeners:
            task.cancel()
            sock.close()
        for task in self._arriving:
            task.cancel()
        for conversation in self._conversations:
            conversation.shut_down()
        await self._connections_end(within=self.environment.limits.grace)
        for conversation in self._conversations:
            conversation.shut_down(midway=True)
        await self._connections_end(within=_STORING)
        for conversation in self._conversations:
            conversation.abort()
        await self._connections_end(within=1.0)

    async def _connections_end(self, *, within: float) -> None:
        if self._connections:
            await asyncio.wait(self._connections, timeout=within)

    async def listen(self, bind: Bind, *, tls: bool) -> list[Bind]:
        """Take connections at *bind*; return the addresses that it came to. Raise `ListenError`."""
        loop = asyncio.get_running_loop()
        binds: list[Bind] = []
        try:
            found = await loop.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, address in dict.fromkeys(found):
                sock = _bound(family, address, dual_stack=bind.host == "::")
                binds.append(Bind(*sock.getsockname()[:2]))
                self._listeners.append((sock, asyncio.create_task(self._accept(sock, tls=tls))))
        except OSError as error:
            raise ListenError(f"can't listen on {bind}: {error.strerror or error}") from None
        return binds

    async def _accept(self, listener: socket.socket, *, tls: bool) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno not in _PASSING:
                    # Out of files or memory, most likely. The backlog holds the clients meanwhile.
                    log.warning("accept_failed", problem=error.strerror)
                    await asyncio.sleep(1)
                continue
            # While clients queue up, `sock_accept` never waits: the others must get their turn.
            await asyncio.sleep(0)
            if len(self._connections) >= self._most_connections + _REFUSALS:
                sock.close()
                continue
            task = loop.create_task(self._serve(sock, str(address[0]), tls=tls))
            self._connections.add(task)
            self._arriving.add(task)
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        self._arriving.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("connection_failed", error=type(error).__name__)

    async def _serve(self, sock: socket.socket, peer: str, *, tls: bool) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        counter = self.environment.counter
        try:
            ip = await self._client_ip(sock, str(normalise_ip(peer)))
        except BaseException as error:
            sock.close()
            if not isinstance(error, ProxyError):
                raise
            log.warning("proxy_header_refused", ip=peer, problem=str(error))
            return
        within_limits = counter.enter(ip)
        try:
            conversation = await self._connect(sock, ip, tls=tls, crowded=not within_limits)
            self._arriving.discard(task)
            if conversation is None:
                return
            self._conversations.add(conversation)
            try:
                await conversation.wait_ended()
            finally:
                self._conversations.discard(conversation)
        finally:
            counter.leave(ip)

    async def _client_ip(self, sock: socket.socket, peer: str) -> str:
        settings = self.environment.settings
        proxies = settings.trusted_proxies
        # To `allowed`, an empty list means everybody.
        if not settings.smtp_proxy_protocol or not proxies or not allowed(peer, proxies):
            return peer
        try:
            return await asyncio.wait_for(read_client_ip(sock, peer), self.environment.limits.proxy)
        except TimeoutError:
            raise ProxyError("no header in time") from None

    async def _connect(self, sock: socket.socket, ip: str, *, tls: bool, crowded: bool) -> Conversation | None:
        environment = self.environment
        seconds = environment.limits.handshake if tls else None
        try:
            _, protocol = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self.converse(ip, tls=tls, crowded=crowded),
                sock,
                ssl=environment.certificate.context if tls else None,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
            )
        except (OSError, ssl.SSLError) as error:
            log.info("tls_handshake_failed", ip=ip, error=type(error).__name__)
            return None
        return protocol


class SubmissionServer(Server):
    """Listens on the ports for STARTTLS and implicit TLS."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, most_connections=environment.settings.max_connections)
        self._housekeeping: asyncio.Task[None] | None = None
        self.starttls_binds: list[Bind] = []
        self.tls_binds: list[Bind] = []

    async def start(self) -> None:
        """Listen. Raise `ListenError`."""
        settings = self.environment.settings
        self.starttls_binds = await self.listen(settings.smtp_bind, tls=False)
        self.tls_binds = await self.listen(settings.smtps_bind, tls=True)
        self._housekeeping = asyncio.create_task(self._keep_house())
        log.info(
            "submission_ready",
            starttls=[str(bind) for bind in self.starttls_binds],
            tls=[str(bind) for bind in self.tls_binds],
            hostname=settings.hostname,
        )

    async def stop(self) -> None:
        """See `Server`."""
        if self._housekeeping:
            self._housekeeping.cancel()
        await super().stop()
        log.info("submission_stopped")

    def converse(self, ip: str, *, tls: bool, crowded: bool) -> SubmissionProtocol:
        """See `Server`."""
        return SubmissionProtocol(self.environment, ip, tls=tls, crowded=crowded)

    async def _keep_house(self) -> None:
        healthy = True
        while True:
            self.environment.certificate.reload_if_changed()
            try:
                await asyncio.to_thread(self.environment.gateway.heartbeat, "submission")
            except Exception as error:
                if healthy:
                    log.warning("heartbeat_failed", error=type(error).__name__)
                healthy = False
            else:
                healthy = True
            await asyncio.sleep(self.environment.limits.heartbeat)


def _bound(family: int, address: tuple[Any, ...], *, dual_stack: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # [::] means every address of the machine, IPv4 too.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual_stack else 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
