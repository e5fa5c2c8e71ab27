"""Encoded words in headers (RFC 2047), read in time that grows with the length alone."""

from __future__ import annotations

import binascii
import codecs
import re
from email.quoprimime import header_decode

#: Charset, with the language that RFC 2231 section 5 lets follow it; encoding; text.
_WORD = re.compile(r"=\?([!-)+->@-~]{1,60})(?:\*[^?\s]{0,60})?\?([BbQq])\?([^?]*+)\?=")
#: Names that Python takes for charsets and no mail program does; some decode in quadratic time.
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})


def decode_words(value: str) -> str:
    """*value* with its encoded words decoded; one that can't be is left as it stands.

    White space between two of them is dropped (RFC 2047 section 6.2). Their octets are joined before they are decoded
    when the charset is the same, since many programs split a character between two words.
    """
    pieces: list[str] = []
    charset, octets, at = "", bytearray(), 0
    for match in _WORD.finditer(value):
        between = value[at : match.start()]
        content = _octets(match[2], match[3])
        name = _charset(match[1])
        if content is None or name is None:
            continue  # its text is part of what stands between its neighbours
        if not charset or between.strip() or name != charset:
            pieces.append(octets.decode(charset, "replace") if charset else "")
            if not charset or between.strip():
                pieces.append(between)
            charset, octets = name, bytearray()
        octets += content
        at = match.end()
    pieces.append(octets.decode(charset, "replace") if charset else "")
    return "".join(pieces) + value[at:]


def _octets(encoding: str, text: str) -> bytes | None:
    try:
        if encoding in "Bb":
            return binascii.a2b_base64(text + "==")
        return header_decode(text).encode("latin-1", "replace")
    except ValueError:  # half of a base64 group, or characters outside ASCII
        return None


def _charset(name: str) -> str | None:
    try:
        found = codecs.lookup(name).name
        b"    ".decode(found, "replace")  # LookupError for what is no text encoding, such as zip
    except (LookupError, ValueError):
        return None
    return None if found in _NO_CHARSETS else found
