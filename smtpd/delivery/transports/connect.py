"""Opening an SMTP connection: TCP, greeting, EHLO, TLS as the endpoint wants it, log-in."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address

import aiosmtplib

from smtpd.delivery.transports.certificates import verdict
from smtpd.delivery.transports.client import Client, Listener
from smtpd.delivery.transports.replies import clean
from webapp.core.rules.relay import RelaySecurity, RelayTarget, is_loopback


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds, as RFC 5321 section 4.5.3.2 has them; `connect` is for TCP, for which it has none."""

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    data_start: float = 120.0
    data_block: float = 180.0
    data_end: float = 600.0


class UnreachableError(Exception):
    """No usable connection: the host is down, refuses us, or its TLS or the log-in fails. Its text says why.

    `code` is the server's answer, if it gave one. `final`: trying again can't help.
    """

    def __init__(self, reason: str, code: int | None = None, *, final: bool = False) -> None:
        self.reason = reason
        self.code = code
        self.final = final
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect to, and how. `address` is what the socket connects to, `name` what TLS is about."""

    name: str
    address: str
    port: int
    label: str
    security: RelaySecurity = "opportunistic"
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, target: RelayTarget) -> Endpoint:
        """The smarthost *target*. With a password TLS is required, unless it stays on this machine."""
        needs_tls = target.security == "opportunistic" and target.username is not None and not is_loopback(target.host)
        security = "starttls" if needs_tls else target.security
        return cls(target.host, target.host, target.port, target.label, security, target.username, target.password)


@dataclass(frozen=True, slots=True)
class Connected:
    """An open connection, greeted and logged in.

    `tls` names the version and what became of the certificate, or why there is none though it was offered.
    """

    client: Client
    tls: str | None


async def connect(
    endpoint: Endpoint, *, hostname: str, timeouts: Timeouts, listener: Listener | None = None
) -> Connected:
    """Connect to *endpoint* and introduce ourselves as *hostname*. Raise `UnreachableError`."""
    try:
        try:
            return await _connect(endpoint, hostname, timeouts, listener)
        except _TlsFailedError:
            if endpoint.security != "opportunistic":
                raise
            # A server without STARTTLS would have got the mail in clear just so (RFC 7435 section 3).
            return await _connect(endpoint, hostname, timeouts, listener, without_tls=True)
    except TimeoutError as error:
        raise UnreachableError(f"{endpoint.label} did not answer in time.") from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise _explain(endpoint, error) from error


class _TlsFailedError(UnreachableError):
    """The TLS handshake failed after STARTTLS."""


async def _connect(
    endpoint: Endpoint,
    hostname: str,
    timeouts: Timeouts,
    listener: Listener | None,
    *,
    without_tls: bool = False,
) -> Connected:
    implicit = endpoint.security == "tls"
    verify = _verifies(endpoint)
    context = await asyncio.to_thread(_context, verify=verify)
    async with asyncio.timeout(timeouts.connect):
        sock = await _dial(endpoint)
    client = Client(
        listener=listener,
        hostname=endpoint.name,
        sock=sock,
        local_hostname=hostname,
        timeout=timeouts.command,
        use_tls=implicit,
        start_tls=False,
        tls_context=context,
    )
    try:
        await client.connect(timeout=timeouts.greeting)
        await _greet(client)
        if not implicit and not without_tls:
            await _start_tls(client, endpoint, context)
        tls = await _tls_label(client, endpoint, verified=verify)
        if endpoint.username is not None:
            client.keep_secret(endpoint.username, endpoint.password or "")
            await _log_in(client, endpoint)
    except BaseException:
        client.close()
        sock.close()
        raise
    if without_tls:
        tls = "none: the TLS handshake failed"
    return Connected(client, tls)


async def _dial(endpoint: Endpoint) -> socket.socket:
    """A TCP connection to the endpoint's address; a name's addresses are tried in turn. Raise `OSError`."""
    loop = asyncio.get_running_loop()
    try:
        found = [(endpoint.address, ip_address(endpoint.address).version)]
    except ValueError:
        infos = await loop.getaddrinfo(endpoint.address, endpoint.port, type=socket.SOCK_STREAM)
        found = [(str(info[4][0]), 6 if info[0] == socket.AF_INET6 else 4) for info in infos]
    failure: OSError = socket.gaierror(socket.EAI_NONAME, "no address")
    for address, version in found:
        sock = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, (address, endpoint.port))
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


async def _greet(client: Client) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        if not client.is_connected:
            raise
        await client.helo()


async def _start_tls(client: Client, endpoint: Endpoint, context: ssl.SSLContext) -> None:
    if not client.supports_extension("starttls"):
        if endpoint.security == "starttls":
            why = "the relay's address requires it" if endpoint.username is None else "a password never goes in clear"
            raise UnreachableError(f"{endpoint.label} does not offer STARTTLS, and {why}.")
        return
    try:
        await client.starttls(tls_context=context)
    except (ssl.SSLError, aiosmtplib.SMTPException, OSError) as error:
        raise _TlsFailedError(_explain(endpoint, error).reason) from error
    await _greet(client)


async def _log_in(client: Client, endpoint: Endpoint) -> None:
    """Log in with the first mechanism that both know; a second try would count as a second failure over there."""
    user, password = (endpoint.username or "").encode(), (endpoint.password or "").encode()
    offered = client.server_auth_methods
    try:
        if "plain" in offered:
            await client.auth_plain(user, password)
        elif "login" in offered:
            await client.auth_login(user, password)
        elif "cram-md5" in offered:
            await client.auth_crammd5(user, password)
        else:
            raise UnreachableError(f"{endpoint.label} offers no log-in that is known here: PLAIN, LOGIN or CRAM-MD5.")
    except aiosmtplib.SMTPAuthenticationError as error:
        raise UnreachableError(
            f"{endpoint.label} refused the relay's user or password: {error.code} {clean(error.message)}", error.code
        ) from error


def _verifies(endpoint: Endpoint) -> bool:
    """Opportunistic TLS guards against listeners only; a relay on this machine usually signs its own certificate."""
    return endpoint.security != "opportunistic" and not is_loopback(endpoint.address)


@cache
def _context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _tls_label(client: Client, endpoint: Endpoint, *, verified: bool) -> str | None:
    tls = client.get_transport_info("ssl_object")
    if tls is None:
        return None
    found = "verified" if verified else await asyncio.to_thread(verdict, tls, endpoint.name)
    return f"{tls.version()}, certificate {found}"


def _explain(endpoint: Endpoint, error: BaseException) -> UnreachableError:
    """Say in one sentence what kept us from connecting."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return UnreachableError(f"{endpoint.label} answered {error.code} {clean(error.message)}", error.code)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UnreachableError(f"The certificate of {endpoint.label} is not valid: {cause.verify_message}.")
        if isinstance(cause, ssl.SSLError):
            return UnreachableError(f"TLS with {endpoint.label} failed: {cause.reason or 'handshake error'}.")
        if isinstance(cause, socket.gaierror):
            return UnreachableError(f"The name {endpoint.name} was not found: {cause.strerror}.")
        # Of several addresses that failed, asyncio gives the numbers in its text only.
        if isinstance(cause, OSError) and (number := cause.errno or _errno_in(str(cause))):
            return UnreachableError(f"{endpoint.label} can't be reached: {os.strerror(number)}.")
        cause = cause.__cause__
    return UnreachableError(f"{endpoint.label} can't be reached: {clean(str(error))}")


def _errno_in(text: str) -> int | None:
    match = re.search(r"\[Errno (\d+)\]", text)
    return int(match[1]) if match else None
