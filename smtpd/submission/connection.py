"""One TCP or TLS connection: lines in, answers out, an orderly end.

It stands on aiosmtpd's `SMTP` for the table of ``smtp_*`` commands and the life of a protocol. What that leaves open
on a public port is replaced, here and in the commands.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import cast

from aiosmtpd.smtp import SMTP

from smtpd.submission.environment import Environment
from smtpd.submission.inbound import Disconnected, Inbound
from webapp.core.rules.refusals import Reason, Refused

# aiosmtpd logs what clients say, and clients say passwords in the wrong place.
for _name in ("mail.log", "mail.debug"):
    logging.getLogger(_name).disabled = True

_TLS_RECORD = b"\x16\x03"
#: How long an ended connection waits for the client to hang up too, in seconds.
_LINGER = 2.0


class Connection(SMTP):  # type: ignore[misc]
    """The server's end of a connection. `tls` says whether it is encrypted now."""

    def __init__(self, environment: Environment, ip: str, *, tls: bool) -> None:
        loop = asyncio.get_running_loop()
        self.environment = environment
        self.limits = environment.limits
        self.ip = ip
        self.tls = tls
        self.hung_up = False
        self.ends_at = float("inf")  # in the loop's time, whatever comes
        self.inbound = Inbound(loop)
        self._outbound = bytearray()
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended: asyncio.Future[None] = loop.create_future()
        self.transport: asyncio.Transport | None = None
        super().__init__(None, hostname=environment.settings.hostname, enable_SMTPUTF8=True, loop=loop)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super(SMTP, self).connection_made(transport)
        self.transport = cast(asyncio.Transport, transport)
        self.inbound.attach(self.transport)
        self._handler_coroutine = self.loop.create_task(self._handle_client())

    def data_received(self, data: bytes) -> None:
        """Keep what came, unless the conversation is over."""
        if not self.hung_up:
            self.inbound.feed(data)

    def eof_received(self) -> bool:
        """Note that the client is done; without TLS, it can still read answers to what it sent before."""
        self.inbound.feed_end()
        return not self.tls and not self.hung_up

    def connection_lost(self, error: Exception | None) -> None:
        """Note that nobody is there. A message that is being stored is still stored."""
        self.inbound.feed_end()
        super(SMTP, self).connection_lost(error)
        self.transport = None
        self._writable.set()
        if not self._ended.done():
            self._ended.set_result(None)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()

    # What the server calls

    def shut_down(self, *, midway: bool = False) -> None:
        """End the conversation with 421 4.3.2 before its next command; *midway*, in the middle of a message too."""
        self.inbound.interrupt(midway=midway)

    async def wait_ended(self) -> None:
        """Return when the connection is closed and nothing is being done for it any more."""
        await self._ended
        await asyncio.wait([self._handler_coroutine])

    def abort(self) -> None:
        """Cut the connection."""
        if self.transport is not None:
            self.transport.abort()

    # What the commands call

    def reply(self, *lines: str) -> None:
        """Answer. It is sent with the next `flush`: answers to a pipelined group share a packet (RFC 2920)."""
        self._outbound += "".join(f"{line}\r\n" for line in lines).encode("ascii", "backslashreplace")

    async def flush(self) -> None:
        """Send the answers. Raise `Disconnected`, also when the client doesn't read them."""
        if self.transport is None:
            raise Disconnected
        if not self._outbound:
            return
        self.transport.write(bytes(self._outbound))
        self._outbound.clear()
        if self._writable.is_set():
            return
        try:
            await asyncio.wait_for(self._writable.wait(), self.limits.unread)
        except TimeoutError:
            self.abort()
            raise Disconnected from None

    async def read_line(self, longest: int) -> bytes:
        """The client's next line, without CRLF, after all answers are sent.

        Raise `BareLineFeed`, `LineTooLong`, `Idle`, `Interrupted`, `Disconnected`, `Refused` for what is no line.
        """
        self.inbound.check_interrupted()
        deadline = min(self.loop.time() + self.limits.idle, self.ends_at)
        begun = False
        while (line := self.inbound.take_line(longest)) is None:
            if self.inbound.discarded > self.limits.discarded_line:
                raise Refused(Reason.TOO_MANY_ERRORS, cause="endless_line")
            if not self.tls and self.inbound.starts_with(_TLS_RECORD):
                raise Refused(Reason.PROTOCOL, problem="TLS begins with STARTTLS on this port", cause="tls_expected")
            if self.inbound.line_begun and not begun:
                begun = True
                deadline = min(deadline, self.loop.time() + self.limits.line)
            await self.flush()
            await self.inbound.wait(deadline)
        return line

    def hang_up(self) -> None:
        """Send what is unsent and close.

        Closing at once would make the kernel reset the connection when the client is still sending, and the last
        answer could get lost. So only our side is closed; the client's octets are thrown away for a moment. TLS does
        the same by itself.
        """
        if self.hung_up or self.transport is None:
            return
        self.hung_up = True
        self.transport.write(bytes(self._outbound))
        self._outbound.clear()
        self.inbound.take_block()
        self.inbound.resume()
        with contextlib.suppress(OSError):
            if self.tls or self.inbound.ended:
                self.transport.close()
            else:
                self.transport.write_eof()
        self.loop.call_later(_LINGER, self.abort)
