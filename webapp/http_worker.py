"""Gunicorn's worker, except that what is no HTTP is refused as all else is: in JSON and under a reference.

Nothing is echoed, neither in the answer nor in the log: it could be a header that holds a key.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException, UnsupportedTransferCoding
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

from webapp.app import gateway_of
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Peer
from webapp.net.client_address import client_address

#: The status (RFC 9110 section 15, RFC 6585 section 5) and what is wrong.
_KINDS: dict[type[Exception], tuple[str, str]] = {
    LimitRequestLine: ("414 URI Too Long", "its address is too long"),
    LimitRequestHeaders: ("431 Request Header Fields Too Large", "its header fields are too large"),
    UnsupportedTransferCoding: ("501 Not Implemented", "of transfer codings only chunked is understood"),
    ParseException: ("400 Bad Request", "its request line or a header field is not valid HTTP"),
}


class HttpWorker(ThreadWorker):  # type: ignore[misc]
    """What serves the panel and the API."""

    def handle_error(
        self, req: object, client: socket.socket, addr: tuple[str, int] | None, exc: BaseException
    ) -> None:
        """Answer what could not be read as a request; all else is Gunicorn's."""
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        status, problem = next(told for kind, told in _KINDS.items() if isinstance(exc, kind))
        refused = Refused(Reason.BAD_REQUEST, problem=problem, cause=type(exc).__name__)
        gateway_of(self.wsgi).refuse(
            refused, Peer(door="http", ip=client_address(addr[0], None, ()) if addr else "", client="")
        )
        error = {"code": refused.reason.answer.code, "message": refused.http_message, "field": None}
        body = json.dumps({"error": error}).encode()
        head = {
            "Connection": "close",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Request-Id": refused.reference,
        }
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in head.items()), "", ""]
        with suppress(OSError):  # whoever sent it may be gone
            write_nonblock(client, "\r\n".join(lines).encode() + body)
