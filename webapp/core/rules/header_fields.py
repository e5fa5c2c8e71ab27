"""A message's header section as octets: split, read and judged without touching what is not asked for.

The standard library's modern parser costs milliseconds a message and repairs what it reads; a gateway must judge the
very octets that it passes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from webapp.core.rules.addresses import AddressError, Mailbox, outside_quotes, parse_mailbox
from webapp.core.rules.encoded_words import decode_words
from webapp.core.rules.refusals import Reason, Refused

#: Octets of header section; real ones have a few thousand.
LONGEST_HEADER_SECTION = 256 * 1024
#: A field with its folded lines, in a canonical message (RFC 5322 section 2.2, with the blank before the colon of 4.5).
_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+(:[^\r]*+\r\n(?:[ \t][^\r]*+\r\n)*+)")
_MAILBOX_FILE_LINE = re.compile(rb"From [^\r]*+\r\n")
_LIST_ITEM = re.compile(r'(?:"(?:[^"\\]|\\.)*+"|[^",])++', re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Field:
    """One header field: its name in lower case, and its octets with all folded lines and the last CRLF."""

    name: str
    raw: bytes

    @property
    def value(self) -> str:
        """The unfolded value, to judge by. Octets that are not UTF-8 become U+FFFD."""
        return self._octets.decode("utf-8", "replace").strip()

    @property
    def text(self) -> str:
        """The value for people: encoded words decoded (RFC 2047), control characters gone, at most 998 characters."""
        return decoded(self.legible)

    @property
    def legible(self) -> str:
        """The unfolded value, read as old programs mean it: UTF-8, else Windows-1252."""
        try:
            return self._octets.decode("utf-8").strip()
        except UnicodeDecodeError:
            return self._octets.decode("cp1252", "replace").strip()

    @property
    def _octets(self) -> bytes:
        return self.raw.partition(b":")[2].replace(b"\r\n", b"")


def canonicalise(source: bytes) -> bytes:
    """Give *source* CRLF line ends only (RFC 5321 section 2.3.8), without NUL, with a line end at its end.

    A bare CR or LF becomes CRLF before anything is judged: no server behind us can see a line that we did not.
    """
    if b"\0" in source:
        source = source.replace(b"\0", b"")
    pairs = source.count(b"\r\n")
    if not pairs == source.count(b"\n") == source.count(b"\r"):
        source = source.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return source if source.endswith(b"\r\n") else source + b"\r\n"


def split_header(source: bytes) -> tuple[list[Field], bytes]:
    """Split a canonical message into its fields and its body, which starts with the empty line.

    Where a line is no header field, the body starts, and gets the empty line that was missing; a leading ``From ``
    line of a mailbox file is dropped. So are blanks before a colon: some readers take such a line for the body's first,
    and would not see the fields that we judge. Raise ``Refused(CONTENT_INVALID)`` for an endless header section.
    """
    end = 0 if source.startswith(b"\r\n") else source.find(b"\r\n\r\n") + 2
    if end == 1:  # not found: header lines only, or none
        end = len(source)
    section, body = source[:end], source[end:]
    if len(section) > LONGEST_HEADER_SECTION:
        raise Refused(Reason.CONTENT_INVALID, problem="its header is longer than 256 KB")
    fields: list[Field] = []
    skipped = None if _FIELD.match(section) else _MAILBOX_FILE_LINE.match(section)
    at = skipped.end() if skipped else 0
    while match := _FIELD.match(section, at):
        fields.append(Field(match[1].decode("ascii").lower(), match[1] + match[2]))
        at = match.end()
    if at < len(section):
        return fields, b"\r\n" + section[at:] + body
    return fields, body or b"\r\n"


def decoded(value: str, longest: int = 998) -> str:
    """Decode encoded words (RFC 2047) as far as they can be, for people to read; at most *longest* characters."""
    text = decode_words(value) if "=?" in value else value
    return _CONTROLS.sub(" ", text).encode("utf-8", "replace").decode().strip()[:longest]


def one_mailbox(value: str) -> Mailbox:
    """Read a field that must be exactly one mailbox (RFC 5322 section 3.4). Raise `AddressError`.

    Stricter than readers are: no groups, no routes, and in the name, outside quotes, no comma, semicolon, colon or
    other address, since two programs could disagree about which address it is.
    """
    text = _without_comments(value).strip()
    if not text:
        raise AddressError("it is empty")
    display, bracket, _ = outside_quotes(text).rpartition("<")
    if bracket and re.search(r"[,;:<>]", display):
        raise AddressError("it is not exactly one address")
    mailbox = parse_mailbox(text)
    if bracket and "@" in display and mailbox.name.lower() != mailbox.email.lower():
        raise AddressError("its name has another address: put the name in quotation marks")
    # Readers differ in what they make of encoded words and broken octets inside an address (RFC 2047 section 5).
    if "=?" in mailbox.email or "\ufffd" in mailbox.email:
        raise AddressError("its address is not written in plain characters")
    return mailbox


def mailboxes(value: str) -> list[Mailbox]:
    """Read a list of mailboxes, each as strictly as `one_mailbox`. Raise `AddressError`."""
    text = _without_comments(value)
    outside_quotes(text)  # raises where a quoted string does not end
    return [one_mailbox(item) for item in _LIST_ITEM.findall(text) if item.strip()]


def all_named(fields: Iterable[Field], *names: str) -> list[Field]:
    """The fields called one of *names* (lower case), in order."""
    return [field for field in fields if field.name in names]


def _without_comments(value: str) -> str:
    """Drop comments, which nest (RFC 5322 section 3.2.2). Raise `AddressError` where one does not end."""
    if "(" not in value:
        return value
    kept, depth, quoted, escaped = [], 0, False, False
    for character in value:
        if escaped:
            escaped = False
        elif character == "\\" and (quoted or depth):
            escaped = True
        elif character == '"' and not depth:
            quoted = not quoted
        elif character == "(" and not quoted:
            depth += 1
        elif character == ")" and not quoted and depth:
            depth -= 1
            if not depth:
                kept.append(" ")  # a comment parts what stands around it
            continue
        if not depth:
            kept.append(character)
    if depth or quoted:
        raise AddressError("a bracket or quote does not end")
    return "".join(kept)
