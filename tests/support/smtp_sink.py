"""A real SMTP server on loopback that takes mail, or does to it what a test asks for."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Received:
    """One message as it arrived."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    options: tuple[str, ...]  # of MAIL
    in_tls: bool
    user: str | None
    connection: int


@dataclass
class SmtpSink:
    """Use it as a context manager. What a stage does can be changed at any time.

    A stage is ``CONNECT``, ``EHLO``, ``MAIL``, ``DATA`` (after the final dot) or a recipient's address. `replies`
    gives a stage another reply than 250; at those in `drops` the connection is cut without one, at those in `hangs`
    nothing comes until they are taken out again. `hidden` EHLO keywords aren't announced.
    """

    replies: dict[str, str] = field(default_factory=dict)
    drops: set[str] = field(default_factory=set)
    hangs: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    login: tuple[str, str] | None = None
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    most_messages: int | None = None  # on one connection; then 421
    most_octets: int | None = None  # as SIZE announces it
    without_mechanisms: list[str] = field(default_factory=list)  # of AUTH
    port: int = 0
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        self.messages: list[Received] = []
        self.connections = 0
        self.log_ins: list[tuple[str, str]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> SmtpSink:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp-sink", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def stop(self) -> None:
        """Cut all connections and close the port."""
        if self._loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._loop = None

    def arrived(self, recipient: str) -> list[Received]:
        """The messages that were taken for *recipient*."""
        return [message for message in self.messages if recipient in message.recipients]

    async def hang(self, stage: str) -> None:
        """Keep the client waiting as long as *stage* is among `hangs`."""
        while stage in self.hangs:
            await asyncio.sleep(0.02)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        context = self.tls if self.implicit_tls else None
        self._sessions: set[_Server] = set()
        self._server = await loop.create_server(self._serve, self.host, self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        self._server.close()
        for session in list(self._sessions):
            with suppress(AttributeError):  # a TLS transport that is closed already has nothing to abort
                session.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _serve(self) -> _Server:
        self.connections += 1
        server = _Server(self, self.connections)
        self._sessions.add(server)
        return server


class _Server(SMTP):
    """One connection."""

    line_length_limit = 1 << 20  # as real servers have it; RFC 5321 wants no more than 1000

    def __init__(self, sink: SmtpSink, number: int) -> None:
        super().__init__(
            _Hooks(sink, self),
            hostname="sink.test",
            enable_SMTPUTF8=True,
            tls_context=None if sink.implicit_tls else sink.tls,
            authenticator=_authenticator(sink) if sink.login else None,
            auth_required=sink.login is not None,
            auth_require_tls=False,
            auth_exclude_mechanism=sink.without_mechanisms,
            timeout=60,
            data_size_limit=sink.most_octets or 33_554_432,
        )
        self.number = number
        self.taken = 0
        self._sink = sink

    async def push(self, status: Any) -> Any:
        if isinstance(status, str) and status.startswith("220 sink.test"):  # the banner
            if "CONNECT" in self._sink.drops:
                self.transport.abort()
                return None
            await self._sink.hang("CONNECT")
            status = self._sink.replies.get("CONNECT", status)
        return await super().push(status)

    def connection_lost(self, error: Exception | None) -> None:
        self._sink._sessions.discard(self)
        super().connection_lost(error)


class _Hooks:
    """What aiosmtpd asks at each command."""

    def __init__(self, sink: SmtpSink, server: _Server) -> None:
        self.sink = sink
        self.server = server

    async def act(self, stage: str, usual: str) -> str:
        await self.sink.hang(stage)
        if stage in self.sink.drops:
            self.server.transport.abort()
        return self.sink.replies.get(stage, usual)

    async def handle_EHLO(  # noqa: N802
        self, _server: Any, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        await self.act("EHLO", "")
        kept = [line for line in responses if line[4:].split(" ")[0].upper() not in self.sink.hidden]
        kept[-1] = kept[-1][:3] + " " + kept[-1][4:]
        return kept

    async def handle_MAIL(self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        if self.sink.most_messages is not None and self.server.taken >= self.sink.most_messages:
            return "421 4.7.0 Too many messages on this connection"
        reply = await self.act("MAIL", "250 2.1.0 OK")
        if reply.startswith("250"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return reply

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]) -> str:  # noqa: N802
        reply = await self.act(address, "250 2.1.5 OK")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if not self.sink.replies.get("DATA", "250").startswith("250"):
            return await self.act("DATA", "")
        self.server.taken += 1
        self.sink.messages.append(
            Received(
                sender=envelope.mail_from,
                recipients=tuple(envelope.rcpt_tos),
                content=envelope.original_content,
                options=tuple(envelope.mail_options),
                in_tls=session.ssl is not None or self.sink.implicit_tls,
                user=session.auth_data,
                connection=self.server.number,
            )
        )
        return await self.act("DATA", "250 2.0.0 Taken as number 1")


def _authenticator(sink: SmtpSink) -> Any:
    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        offered = (data.login.decode(), data.password.decode())
        sink.log_ins.append(offered)
        return AuthResult(success=offered == sink.login, handled=False, auth_data=offered[0])

    return check


def server_context(folder: Path) -> ssl.SSLContext:
    """TLS for a server at 127.0.0.1, with a certificate that nobody but itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sink.test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "sink.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
