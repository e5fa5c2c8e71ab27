"""The message's octets on the wire. Stored messages have CRLF line ends throughout."""

from __future__ import annotations

import email
from email import policy

#: Re-encodes 8-bit parts as quoted-printable or base64, and leaves all else as it is.
_SEVEN_BIT = policy.compat32.clone(cte_type="7bit", linesep="\r\n", max_line_length=None, mangle_from_=False)


def dot_stuffed(source: bytes) -> bytes:
    """*source* as DATA sends it, with the final dot (RFC 5321 section 4.5.2)."""
    stuffed = source.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n")


def headers_are_ascii(source: bytes) -> bool:
    """Whether the header section has only ASCII octets. Those of inner parts need SMTPUTF8 as well, but are rare."""
    return source.partition(b"\r\n\r\n")[0].isascii()


def seven_bit(source: bytes) -> bytes | None:
    """*source* for a server without 8BITMIME (RFC 6152 section 3), or None where that can't be done."""
    converted = email.message_from_bytes(source, policy=_SEVEN_BIT).as_bytes(policy=_SEVEN_BIT)
    return converted if converted.isascii() else None
