"""How a message begins: a report stands before the mail that it returns, which may be large and is not wanted."""

from __future__ import annotations

from smtpd.submission.content import Content


class Head(Content):
    """Keeps the first *limit* octets of a message, or somewhat more, and reads over the rest."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._head = b""

    def drop(self) -> None:
        """See `Content`; what came first stays."""
        if self.kept:
            self._head = _undotted(self._data)
        super().drop()

    def source(self) -> bytes:
        """What is kept. Call it after the ending."""
        return _undotted(self._data) if self.kept else self._head


def _undotted(data: bytearray) -> bytes:
    return bytes(data.replace(b"\r\n.", b"\r\n")[2:])
