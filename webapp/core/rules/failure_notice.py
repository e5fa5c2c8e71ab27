"""The notice to a sender that mail was not delivered: a DSN (RFC 3461, RFC 3464) in a multipart/report (RFC 6522).

It is pure ASCII below its own headers, so that it gets through every server: an address outside ASCII stands in the
report with its characters escaped (utf-8-addr-xtext, RFC 6533 section 3), and the original's headers in base64.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import MIMEPart
from email.policy import SMTP
from email.utils import format_datetime

from webapp.core.rules.bounces import enhanced_code
from webapp.core.rules.compose import folded, text_header
from webapp.core.rules.header_fields import canonicalise
from webapp.core.rules.refusals import printable

#: Octets of the original that are looked at for its headers.
LONGEST_HEAD = 64 * 1024
#: What a server said is repeated so far, in characters.
_LONGEST_ANSWER = 1000
_LONGEST_LINE = 998


@dataclass(frozen=True, slots=True)
class FailedRecipient:
    """One recipient who gets no mail. `reason` is what people are told.

    `code` and `answer` are what the server *host* said at *tried_at*, None when there was no answer.
    """

    email: str
    reason: str
    code: int | None = None
    answer: str | None = None
    host: str = ""
    tried_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FailureNotice:
    """What became of one message. `to` is its envelope sender, `head` how its source begins, None if not kept."""

    to: str
    hostname: str
    recipients: Sequence[FailedRecipient]
    subject: str
    message_id: str
    accepted_at: datetime
    head: bytes | None

    @property
    def sender(self) -> str:
        """Whom the notice is from."""
        return f"MAILER-DAEMON@{self.hostname}"

    @property
    def title(self) -> str:
        """The notice's subject."""
        subject = printable(" ".join(self.subject.split()), 150)
        return f"Not delivered: {subject}" if subject else "Your mail was not delivered"


def compose_failure_notice(notice: FailureNotice, *, new_message_id: str, now: datetime) -> bytes:
    """The whole message, lines ending in CRLF; its own headers are outside ASCII only if its recipient is."""
    boundary = f"=_{secrets.token_hex(16)}"
    head = [
        f"From: Mail delivery <{notice.sender}>\r\n",
        f"To: <{notice.to}>\r\n",
        text_header("Subject", notice.title),
        f"Date: {format_datetime(now)}\r\n",
        f"Message-ID: {new_message_id}\r\n",
        "Auto-Submitted: auto-replied\r\n",  # RFC 3834 section 5
        "MIME-Version: 1.0\r\n",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"\r\n',
    ]
    if notice.message_id.isascii() and notice.message_id.isprintable() and len(notice.message_id) < 900:
        head[5:5] = [f"In-Reply-To: {notice.message_id}\r\n", f"References: {notice.message_id}\r\n"]
    parts = [_for_people(notice), _for_programs(notice)]
    if notice.head:
        parts.append(_original_headers(notice.head))
    body = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    return "".join(head).encode() + b"\r\n" + body + f"--{boundary}--\r\n".encode()


def _for_people(notice: FailureNotice) -> bytes:
    lines = [f"This is the mail server {notice.hostname}. Your mail did not reach:", ""]
    for one in notice.recipients:
        answer = printable(one.reason, _LONGEST_ANSWER)
        lines += [f"  {one.email}", f"    {f'{one.code} ' if one.code else ''}{answer}", ""]
    lines += [
        "It is not tried again. Check the address, or pass the server's answer on to whoever looks after mail there.",
        "",
        f"The mail: {printable(notice.subject, 150) or '(no subject)'}",
        f"Handed over: {format_datetime(notice.accepted_at)}",
    ]
    part = MIMEPart(policy=SMTP)
    part.set_content("\n".join(lines) + "\n", cte="quoted-printable")
    return part.as_bytes()


def _for_programs(notice: FailureNotice) -> bytes:
    """The machine-readable part (RFC 3464 section 2)."""
    about_all = f"Reporting-MTA: dns; {notice.hostname}\r\nArrival-Date: {format_datetime(notice.accepted_at)}\r\n"
    blocks = [about_all, *map(_status, notice.recipients)]
    return ("Content-Type: message/delivery-status\r\n\r\n" + "\r\n".join(blocks)).encode("ascii", "replace")


def _status(one: FailedRecipient) -> str:
    gave_up = one.code is not None and one.code < 500
    status = enhanced_code(one.answer or one.reason) or ("4.4.7" if gave_up else "5.0.0")
    fields = [f"Final-Recipient: {typed_address(one.email)}\r\n", "Action: failed\r\n", f"Status: {status}\r\n"]
    if one.host:
        fields.append(f"Remote-MTA: dns; {printable(one.host, 255)}\r\n")
    if one.code:
        answer = printable(" ".join((one.answer or one.reason).split()), _LONGEST_ANSWER)
        answer = answer.encode("ascii", "backslashreplace").decode()[:_LONGEST_ANSWER]
        fields.append(folded("Diagnostic-Code", f"smtp; {one.code} {answer}"))
    if one.tried_at:
        fields.append(f"Last-Attempt-Date: {format_datetime(one.tried_at)}\r\n")
    return "".join(fields)


def typed_address(address: str) -> str:
    """An address with its type, in ASCII (RFC 3464 section 2.3.2; RFC 6533 section 3)."""
    if address.isascii():
        return f"rfc822; {address}"
    return "utf-8; " + "".join(c if "!" <= c <= "~" and c not in "\\+=" else f"\\x{{{ord(c):02X}}}" for c in address)


def _original_headers(source: bytes) -> bytes:
    source = canonicalise(source[:LONGEST_HEAD])
    end = source.find(b"\r\n\r\n")
    if end < 0:  # the headers are longer than what there is of them: up to the last whole line
        end = max(source.rfind(b"\r\n"), 0)
    fields = source[:end] + b"\r\n"
    kind = "text/rfc822-headers"
    if not fields.isascii():
        try:
            fields.decode()
        except UnicodeDecodeError:
            pass
        else:
            kind = "message/global-headers"  # RFC 6533 section 4
    if fields.isascii() and max(map(len, fields.split(b"\r\n"))) <= _LONGEST_LINE:
        return f"Content-Type: {kind}\r\n\r\n".encode() + fields
    encoded = base64.encodebytes(fields).replace(b"\n", b"\r\n")
    return f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode() + encoded
