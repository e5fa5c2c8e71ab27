"""Reading the rest of a request that is already refused, so that its answer arrives.

A client that still writes its body when the connection closes is sent a reset, and often sees that instead of the
answer (RFC 9112 section 9.6).
"""

from __future__ import annotations

import time
from contextlib import suppress
from socket import socket

from flask import Request

_BLOCK = 64 * 1024
#: Seconds for a client with a key, and for a stranger, who must not hold a thread for long.
PATIENCE_KNOWN, PATIENCE_STRANGER = 30.0, 5.0


def discard_body(request: Request, *, most: int, known: bool) -> None:
    """Read and drop what is left of the body, at most *most* octets. Returns early when the client is slow.

    Only behind Gunicorn, which lends its socket: elsewhere nothing could bound the wait.
    """
    connection, body = request.environ.get("gunicorn.socket"), request.environ.get("wsgi.input")
    if not isinstance(connection, socket) or body is None or (request.content_length or 0) > most:
        return
    before = connection.gettimeout()
    deadline = time.monotonic() + (PATIENCE_KNOWN if known else PATIENCE_STRANGER)
    left = most
    with suppress(Exception):  # whatever the client did to its connection, it has its answer already
        while left > 0 and (wait := deadline - time.monotonic()) > 0:
            connection.settimeout(wait)
            block = body.read(min(left, _BLOCK))
            if not block:
                break
            left -= len(block)
    with suppress(OSError):
        connection.settimeout(before)
