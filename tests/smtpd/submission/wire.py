"""A client that says exactly what a test wants said, octet by octet, and a server to say it to."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from smtpd.submission.environment import Environment, SubmissionGateway
from smtpd.submission.limits import Limits
from smtpd.submission.server import SubmissionServer

PATIENCE = 20.0  # seconds until a test gives up waiting: two writers may each wait for a locked database
REFERENCE = re.compile(r" \[ref [A-Z2-9]{10}\]$")


def write_certificate(cert: Path, key: Path, name: str = "mail.postlatch.test") -> None:
    """A self-signed certificate for *name*, valid for an hour."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(private, hashes.SHA256())
    )
    cert.parent.mkdir(parents=True, exist_ok=True)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def trusting() -> ssl.SSLContext:
    """A client's context that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class RunningServer:
    """A real server on real ports, its event loop in a thread."""

    def __init__(self, gateway: SubmissionGateway, **limits: Any) -> None:
        self.environment = Environment.build(gateway, Limits(**limits))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server = self._run(self._build())
        self._stopped = False
        try:
            self._run(self.server.start())
        except BaseException:
            self.stop()
            raise
        self.starttls_port, self.tls_port = self.server.starttls_binds[0].port, self.server.tls_binds[0].port

    async def _build(self) -> SubmissionServer:
        return SubmissionServer(self.environment)

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def stop(self) -> None:
        """Shut it down as SIGTERM would."""
        if self._stopped:
            return
        self._stopped = True
        self._run(self.server.stop())
        self.environment.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def connect(self, *, tls: bool = False, source: str = "127.0.0.1") -> Wire:
        """A connection whose greeting has not been read."""
        return Wire(self.tls_port if tls else self.starttls_port, tls=tls, source=source)

    def greeted(self, *, tls: bool = False, ehlo: bool = True, source: str = "127.0.0.1") -> Wire:
        """A connection after its greeting and EHLO."""
        wire = self.connect(tls=tls, source=source)
        assert wire.reply().startswith("220 ")
        if ehlo:
            wire.ehlo()
        return wire

    def logged_in(self, username: str, password: str) -> Wire:
        """A connection over TLS that is logged in."""
        wire = self.greeted(tls=True)
        assert wire.command("AUTH PLAIN " + plain(username, password)).startswith("235 2.7.0")
        return wire


class Wire:
    """A client's socket."""

    def __init__(self, port: int, *, tls: bool = False, source: str = "127.0.0.1") -> None:
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
        self._buffer = b""
        if tls:
            self.wrap()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def wrap(self) -> None:
        """Begin TLS."""
        assert not self._buffer, self._buffer
        self.socket = trusting().wrap_socket(self.socket)

    def send(self, data: bytes | str) -> None:
        """Send octets as they are."""
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def reply(self) -> str:
        """One reply, its lines joined by ``\\n``; empty at the end of the stream."""
        lines = []
        while True:
            line = self._line()
            lines.append(line)
            if line[3:4] != "-":
                break
        text = "\n".join(lines)
        if text[:1] in ("4", "5"):
            assert re.match(r"[45]\d\d [45]\.\d{1,3}\.\d{1,3} ", text), text
            assert REFERENCE.search(text), text
            assert text[0] == text[4], text
        return text

    def _line(self) -> str:
        while b"\r\n" not in self._buffer:
            try:
                data = self.socket.recv(65536)
            except (ConnectionResetError, ssl.SSLEOFError):
                data = b""
            if not data:
                assert not self._buffer, self._buffer
                return ""
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode()

    def command(self, line: bytes | str) -> str:
        """Send one line and read its reply."""
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.reply()

    def ehlo(self, name: str = "client.test") -> list[str]:
        """What the server offers."""
        reply = self.command(f"EHLO {name}")
        assert reply.startswith("250"), reply
        return [line[4:] for line in reply.split("\n")][1:]

    def closed(self) -> bool:
        """Whether the server has ended the connection and said nothing more."""
        return self._line() == ""

    def begin(self, *recipients: str, sender: str = "printer@example.test") -> None:
        """Begin a message and get as far as 354."""
        assert self.command(f"MAIL FROM:<{sender}>").startswith("250 2.1.0")
        for recipient in recipients or ("someone@recipient.test",):
            assert self.command(f"RCPT TO:<{recipient}>").startswith("250 2.1.5")
        assert self.command("DATA").startswith("354 ")


def until(condition: Callable[[], object]) -> None:
    """Wait for *condition* to hold."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def plain(username: str, password: str, identity: str = "") -> str:
    """The response of SASL PLAIN."""
    return encoded(f"{identity}\0{username}\0{password}")


def encoded(text: str | bytes) -> str:
    """Base64."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()
