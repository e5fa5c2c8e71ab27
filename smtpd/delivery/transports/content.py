"""A message's octets on the wire: the one place where what is stored is made ready for a server.

Stored messages have CRLF line ends throughout. For a server without 8BITMIME the body is converted first, then the
message is signed, and dots are stuffed last, so that a signature always covers what the recipient gets.
"""

from __future__ import annotations

import email
import re
from collections.abc import Callable
from dataclasses import dataclass
from email import policy

#: Makes the header fields, each ended by CRLF, that go in front of the octets that it gets: a DKIM-Signature.
Signer = Callable[[bytes], bytes]

#: Re-encodes 8-bit parts as quoted-printable or base64, and leaves all else as it is.
_SEVEN_BIT = policy.compat32.clone(cte_type="7bit", linesep="\r\n", max_line_length=None, mangle_from_=False)
#: Somebody else's signature (RFC 6376, 8617, 1847), which a converted body would break.
_SIGNED = re.compile(rb"^(?:dkim-signature|arc-seal)[ \t]*:|^content-type[ \t]*:\s*multipart/signed\b", re.I | re.M)


def unsigned(_octets: bytes) -> bytes:
    """The `Signer` of mail that nobody signs."""
    return b""


@dataclass(frozen=True, slots=True)
class Content:
    """A message as it is stored, who signs it, and the host of its return address where that is the domain's own."""

    source: bytes
    sign: Signer = unsigned
    return_host: str | None = None

    def octets(self, *, eight_bit: bool = True) -> bytes | None:
        """The message for a server that takes 8-bit bodies, or doesn't; None where that can't be done. Takes its time.

        Without 8BITMIME an 8-bit body is converted (RFC 6152 section 3), unless somebody else has signed it.
        """
        source: bytes | None = self.source
        if not eight_bit:
            source = None if _SIGNED.search(self.source) else seven_bit(self.source)
        return None if source is None else self.sign(source) + source


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
