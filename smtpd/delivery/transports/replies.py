"""What a server's reply means for a recipient (RFC 5321 section 4.2.1)."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.core.rules.refusals import printable
from webapp.core.rules.statuses import Status

#: The server wants a log-in, another one, or TLS (RFC 4954 section 6): our set-up is wrong, not the recipient.
_LOG_IN_CODES = frozenset({530, 534, 535, 538})
#: Characters of a server's reply that are kept.
LONGEST_REPLY = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server's reply, or its silence, means for one recipient.

    `elsewhere`: the server was not up to it, and another one of the same destination may be.
    """

    status: Status
    reason: str
    code: int | None = None
    elsewhere: bool = False


def clean(text: str) -> str:
    """A server's words on one line, fit for the database and the page."""
    return printable(" ".join(text.split()), LONGEST_REPLY)


def judge(code: int, text: str, *, by: str) -> Answer:
    """Read the reply *code* *text* of the server *by*."""
    if 200 <= code < 300:
        return Answer(Status.DELIVERED, clean(text), code)
    if code in _LOG_IN_CODES:
        return Answer(Status.DEFERRED, f"{by} wants a log-in: {clean(text)}", code)
    if 500 <= code < 600:
        return Answer(Status.BOUNCED, clean(text), code)
    if 400 <= code < 500:
        return Answer(Status.DEFERRED, clean(text), code)
    return Answer(Status.DEFERRED, f"{by} answered against the protocol: {code} {clean(text)}", code)
