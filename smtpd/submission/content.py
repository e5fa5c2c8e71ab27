"""The message after DATA, taken from the stream in blocks instead of lines (RFC 5321 section 4.5.2).

Only CRLF, a dot and CRLF ends a message. LF.LF, CR.CR, LF.CRLF and their like are content, so that no two servers
can disagree about where one message ends and the next begins ("SMTP smuggling").
"""

from __future__ import annotations

_END = b"\r\n.\r\n"


class Content:
    """Collects one message of at most *limit* octets, not counting doubled dots and the ending.

    What can't fit any more is not `kept`, while the ending is still looked for.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Undoing doubled dots takes at most one octet of four: a message of nothing but lines with a dot.
        self._longest = limit + limit // 3 + len(_END)
        # The CRLF that ended the DATA command also begins an ending: a message may be empty.
        self._data = bytearray(b"\r\n")
        self._searched = 0
        self._dropped = 0
        self.kept = True

    @property
    def received(self) -> int:
        """How many octets have come, those not kept included."""
        return self._dropped + len(self._data) - 2

    def feed(self, block: bytes) -> bytes | None:
        """Take *block*; return what follows the ending, or None when that has not come."""
        data = self._data
        data += block
        end = data.find(_END, self._searched)
        if end < 0:
            self._searched = max(0, len(data) - len(_END) + 1)
            if not self.kept or len(data) > self._longest:
                self.drop()
            return None
        rest = bytes(data[end + len(_END) :])
        del data[end + 2 :]
        return rest

    def drop(self) -> None:
        """Throw away what has come and what is still to come, but for what may be a part of the ending."""
        self.kept = False
        excess = max(0, len(self._data) - len(_END) + 1)
        self._dropped += excess
        del self._data[:excess]
        self._searched = 0

    def source(self) -> bytes | None:
        """The message, its doubled dots undone; None when it was too large or dropped. Call it after the ending."""
        if not self.kept:
            return None
        source = bytes(self._data.replace(b"\r\n.", b"\r\n")[2:])
        return source if len(source) <= self._limit else None
