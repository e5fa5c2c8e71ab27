"""Opening an SMTP connection to a smarthost: TCP, greeting, EHLO, TLS as the target wants it, log-in."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address

import aiosmtplib

from smtpd.delivery.transports.replies import clean
from webapp.core.rules.relay import RelayTarget


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds, of the kinds that RFC 5321 section 4.5.3.2 tells apart. `connect` is for TCP, then the greeting."""

    connect: float = 30.0
    command: float = 60.0
    data_end: float = 600.0


class UnreachableError(Exception):
    """No usable connection: the host is down, refuses us, or its TLS or the log-in fails. Its text says why."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        self.reason = reason
        self.code = code
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Connected:
    """An open connection, greeted and logged in. `tls` names the version and the certificate's verdict."""

    client: aiosmtplib.SMTP
    tls: str | None


async def connect(target: RelayTarget, *, hostname: str, timeouts: Timeouts) -> Connected:
    """Connect to *target* and introduce ourselves as *hostname*. Raise `UnreachableError`."""
    try:
        async with asyncio.timeout(timeouts.connect + timeouts.command):
            try:
                return await _connect(target, hostname, timeouts, allow_tls=True)
            except _TlsFailedError:
                if target.security != "opportunistic" or not _may_send_password(target):
                    raise
                # A server without STARTTLS would have got the mail in clear just so (RFC 7435 section 3).
                return await _connect(target, hostname, timeouts, allow_tls=False)
    except TimeoutError as error:
        raise UnreachableError(f"{target.label} did not answer in time.") from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise _explain(target, error) from error


class _TlsFailedError(UnreachableError):
    """The TLS handshake failed after STARTTLS."""


async def _connect(target: RelayTarget, hostname: str, timeouts: Timeouts, *, allow_tls: bool) -> Connected:
    implicit = target.security == "tls"
    verify = _verifies(target)
    context = await asyncio.to_thread(_context, verify=verify)
    client = aiosmtplib.SMTP(
        hostname=target.host,
        port=target.port,
        local_hostname=hostname,
        timeout=timeouts.command,
        use_tls=implicit,
        start_tls=False,
        tls_context=context,
    )
    try:
        await client.connect(timeout=timeouts.connect)
        await _greet(client)
        if not implicit and allow_tls:
            await _start_tls(client, target, context)
        tls = _tls_label(client, verified=verify)
        if target.username is not None:
            await _log_in(client, target, in_clear=tls is None)
    except BaseException:
        client.close()
        raise
    return Connected(client, tls)


async def _greet(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        if not client.is_connected:
            raise
        await client.helo()


async def _start_tls(client: aiosmtplib.SMTP, target: RelayTarget, context: ssl.SSLContext) -> None:
    if not client.supports_extension("starttls"):
        if target.security == "starttls":
            raise UnreachableError(f"{target.label} does not offer STARTTLS, which the relay's address requires.")
        return
    try:
        await client.starttls(tls_context=context)
    except (ssl.SSLError, aiosmtplib.SMTPException, OSError) as error:
        raise _TlsFailedError(_explain(target, error).reason) from error
    await _greet(client)


async def _log_in(client: aiosmtplib.SMTP, target: RelayTarget, *, in_clear: bool) -> None:
    """Log in with the first mechanism that both know; a second try would count as a second failure over there."""
    if in_clear and not is_loopback(target.host):
        raise UnreachableError(f"{target.label} offers no TLS, and a password is never sent in clear: use smtps://.")
    user, password = (target.username or "").encode(), (target.password or "").encode()
    offered = client.server_auth_methods
    try:
        if "plain" in offered:
            await client.auth_plain(user, password)
        elif "login" in offered:
            await client.auth_login(user, password)
        elif "cram-md5" in offered:
            await client.auth_crammd5(user, password)
        else:
            raise UnreachableError(f"{target.label} offers no log-in that is known here: PLAIN, LOGIN or CRAM-MD5.")
    except aiosmtplib.SMTPAuthenticationError as error:
        raise UnreachableError(
            f"{target.label} refused the relay's user or password: {error.code} {clean(error.message)}", error.code
        ) from error


def is_loopback(host: str) -> bool:
    """Whether *host* is this very machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def _may_send_password(target: RelayTarget) -> bool:
    """Whether the connection may go on in clear: nothing secret is sent, or it stays on this machine."""
    return target.username is None or is_loopback(target.host)


def _verifies(target: RelayTarget) -> bool:
    """Opportunistic TLS guards against listeners only; a relay on this machine usually signs its own certificate."""
    return target.security != "opportunistic" and not is_loopback(target.host)


@cache
def _context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _tls_label(client: aiosmtplib.SMTP, *, verified: bool) -> str | None:
    tls = client.get_transport_info("ssl_object")
    if tls is None:
        return None
    return f"{tls.version()}, certificate {'verified' if verified else 'not checked'}"


def _explain(target: RelayTarget, error: BaseException) -> UnreachableError:
    """Say in one sentence what kept us from connecting."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return UnreachableError(f"{target.label} answered {error.code} {clean(error.message)}", error.code)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UnreachableError(f"The certificate of {target.label} is not valid: {cause.verify_message}.")
        if isinstance(cause, ssl.SSLError):
            return UnreachableError(f"TLS with {target.label} failed: {cause.reason or 'handshake error'}.")
        if isinstance(cause, socket.gaierror):
            return UnreachableError(f"The name {target.host} was not found: {cause.strerror}.")
        # Of several addresses that failed, asyncio gives the numbers in its text only.
        if isinstance(cause, OSError) and (number := cause.errno or _errno_in(str(cause))):
            return UnreachableError(f"{target.label} can't be reached: {os.strerror(number)}.")
        cause = cause.__cause__
    return UnreachableError(f"{target.label} can't be reached: {clean(str(error))}")


def _errno_in(text: str) -> int | None:
    match = re.search(r"\[Errno (\d+)\]", text)
    return int(match[1]) if match else None
