"""What a client has sent and nobody has read yet, with back-pressure on its transport.

It stands in for `asyncio.StreamReader`, which can neither say whether something waits unread (needed to catch
clients that talk out of turn) nor hand out whatever is there as one block of any size.
"""

from __future__ import annotations

import asyncio

#: Above this many unread octets the transport stops reading, so that a fast client can't fill the memory.
HIGH_WATER = 128 * 1024


class Disconnected(Exception):  # noqa: N818 - an end, not an error
    """The client is gone; nothing can be said to it any more."""


class BareLineFeed(Exception):  # noqa: N818 - a finding
    """A line ended in LF without CR (RFC 5321 section 2.3.8 forbids it)."""


class LineTooLong(Exception):  # noqa: N818 - a finding
    """A line was longer than allowed; it has been read and thrown away."""


class Interrupted(Exception):  # noqa: N818 - a signal
    """Somebody called `Inbound.interrupt`."""


class Idle(Exception):  # noqa: N818 - a finding
    """Nothing, or not enough, came until the deadline. Not `TimeoutError`: other calls raise that for other reasons."""


class Inbound:
    """Unread octets of one connection. `ended` is true when no more will come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._data = bytearray()
        self._searched = 0
        self._discarded = 0
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self.ended = False
        self._interrupted = False
        self._interrupted_midway = False

    # The transport's side

    def attach(self, transport: asyncio.Transport) -> None:
        """Take what comes from *transport* from now on: the plain one, later the one inside TLS."""
        self._transport = transport
        self._paused = False

    def feed(self, data: bytes) -> None:
        """Append what the transport has received."""
        self._data += data
        if len(self._data) > HIGH_WATER and self._transport and not self._paused:
            self._transport.pause_reading()
            self._paused = True
        self._wake()

    def feed_end(self) -> None:
        """Nothing more will come."""
        self.ended = True
        self._wake()

    def interrupt(self, *, midway: bool = False) -> None:
        """Make reads raise `Interrupted`, now and from now on; those within a message only when *midway*."""
        self._interrupted = True
        self._interrupted_midway = self._interrupted_midway or midway
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _expire(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_exception(Idle())

    # The reader's side

    @property
    def pending(self) -> int:
        """How many octets wait unread."""
        return len(self._data)

    @property
    def line_begun(self) -> bool:
        """Whether a line has begun and not ended yet."""
        return bool(self._data) or self._discarded > 0

    def starts_with(self, octets: bytes) -> bool:
        """Whether the unread part begins with *octets*."""
        return self._data.startswith(octets)

    async def poll(self) -> None:
        """Let the event loop take what has already arrived at the socket. It needs two turns: select, then read."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def wait(self, deadline: float, *, within_message: bool = False) -> None:
        """Return when more has come, or perhaps earlier.

        *deadline* is in the loop's time. Raise `Idle` at it, `Disconnected` at the end of the stream,
        `Interrupted` after `interrupt`.
        """
        self.check_interrupted(within_message=within_message)
        if self.ended:
            raise Disconnected
        if self._loop.time() >= deadline:
            raise Idle
        self.resume()
        self._waiter = self._loop.create_future()
        alarm = self._loop.call_at(deadline, self._expire)
        try:
            await self._waiter
        finally:
            alarm.cancel()
            self._waiter = None

    def check_interrupted(self, *, within_message: bool = False) -> None:
        """Raise `Interrupted` after `interrupt`."""
        if self._interrupted_midway or (self._interrupted and not within_message):
            raise Interrupted

    def take_line(self, longest: int) -> bytes | None:
        """The next line without its CRLF, or None when it has not ended yet.

        Raise `BareLineFeed`, or `LineTooLong` once a line of more than *longest* octets has ended; no more than
        that is ever kept of it.
        """
        end = self._data.find(b"\n", self._searched)
        if end < 0:
            excess = len(self._data) - longest - 1
            if excess > 0:
                # The last octet stays: it may be the CR of the ending.
                self._discarded += len(self._data) - 1
                del self._data[:-1]
            self._searched = len(self._data)
            return None
        line = bytes(self._data[: end + 1])
        del self._data[: end + 1]
        self._searched = 0
        length, self._discarded = self._discarded + len(line) - 2, 0
        if not line.endswith(b"\r\n"):
            raise BareLineFeed
        if length > longest:
            raise LineTooLong
        return line[:-2]

    @property
    def discarded(self) -> int:
        """How much of the line that is being read was too much and thrown away, in octets."""
        return self._discarded

    def take_block(self) -> bytes:
        """Everything that is there."""
        block = bytes(self._data)
        self._data.clear()
        self._searched = 0
        return block

    def put_back(self, block: bytes) -> None:
        """Make *block* the next thing to be read."""
        self._data[:0] = block
        self._searched = 0

    def resume(self) -> None:
        """Let the transport read again if it had been stopped and there is room."""
        if self._paused and self._transport and len(self._data) <= HIGH_WATER:
            self._paused = False
            self._transport.resume_reading()
