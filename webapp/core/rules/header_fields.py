"""A message's header section as octets: split, read and judged without touching what is not asked for.

The standard library's modern parser costs milliseconds a message and repairs what it reads; a gateway must judge the
very octets that it passes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header

from webapp.core.rules.addresses import AddressError, Mailbox, parse_mailbox
from webapp.core.rules.refusals import Reason, Refused

#: Octets of header section; real ones have a few thousand.
LONGEST_HEADER_SECTION = 256 * 1024
_LINE_END = re.compile(rb"\r\n|\r|\n")
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Field:
    """One header field: its name in lower case, and its octets with all folded lines and the last CRLF."""

    name: str
    raw: bytes

    @property
    def value(self) -> str:
        """The unfolded value. Octets that are not UTF-8 become U+FFFD."""
        unfolded = self.raw.partition(b":")[2].replace(b"\r\n", b"")
        return unfolded.decode("utf-8", "replace").strip()

    @property
    def text(self) -> str:
        """The value for people: encoded words decoded (RFC 2047), control characters gone, at most 998 characters."""
        return decoded(self.value)


def canonicalise(source: bytes) -> bytes:
    """Give *source* CRLF line ends only (RFC 5321 section 2.3.8), without NUL, with a line end at its end.

    A bare CR or LF becomes CRLF before anything is judged: no server behind us can see a line that we did not.
    """
    if b"\0" in source:
        source = source.replace(b"\0", b"")
    pairs = source.count(b"\r\n")
    if not pairs == source.count(b"\n") == source.count(b"\r"):
        source = _LINE_END.sub(b"\r\n", source)
    return source if source.endswith(b"\r\n") else source + b"\r\n"


def split_header(source: bytes) -> tuple[list[Field], bytes]:
    """Split a canonical message into its fields and its body, which starts with the empty line.

    Where a line is no header field, the body starts, and gets the empty line that was missing; a leading ``From ``
    line of a mailbox file is dropped. Raise ``Refused(CONTENT_INVALID)`` for an endless header section.
    """
    end = 0 if source.startswith(b"\r\n") else source.find(b"\r\n\r\n") + 2
    if end == 1:  # not found: header lines only, or none
        end = len(source)
    section, body = source[:end], source[end:]
    if len(section) > LONGEST_HEADER_SECTION:
        raise Refused(Reason.CONTENT_INVALID, problem="its header is longer than 256 KB")
    fields: list[Field] = []
    lines = section.splitlines(keepends=True) if b"\x0b" not in section and b"\x0c" not in section else _lines(section)
    for number, line in enumerate(lines):
        if line[:1] in b" \t" and fields:
            fields[-1] = Field(fields[-1].name, fields[-1].raw + line)
        elif match := _FIELD.match(line):
            fields.append(Field(match[1].decode("ascii").lower(), line))
        elif number or not line.startswith(b"From "):
            return fields, b"\r\n" + b"".join(lines[number:]) + body
    return fields, body or b"\r\n"


def _lines(section: bytes) -> list[bytes]:
    return [line + b"\r\n" for line in section.split(b"\r\n")[:-1]]


def decoded(value: str) -> str:
    """Decode encoded words (RFC 2047) as far as they can be, for people to read."""
    text = value
    if "=?" in value:
        try:
            parts = decode_header(value)
            text = "".join(
                part if isinstance(part, str) else part.decode(charset or "utf-8", "replace") for part, charset in parts
            )
        except (HeaderParseError, LookupError, ValueError):
            text = value
    return _CONTROLS.sub(" ", text).encode("utf-8", "replace").decode().strip()[:998]


def one_mailbox(value: str) -> Mailbox:
    """Read a field that must be exactly one mailbox (RFC 5322 section 3.4). Raise `AddressError`.

    Stricter than readers are: no groups, no routes, and outside quotes no comma, semicolon or colon, since two
    programs could disagree about where such a mailbox ends.
    """
    text = _without_comments(value).strip()
    if not text:
        raise AddressError("it is empty")
    display, bracket, _ = _QUOTED.sub("", text).rpartition("<")
    if '"' in display or (bracket and re.search(r"[,;:<>]", display)):
        raise AddressError("it is not exactly one address")
    return parse_mailbox(text)


def mailboxes(value: str) -> list[Mailbox]:
    """Read a list of mailboxes, each as strictly as `one_mailbox`. Raise `AddressError`."""
    parts = re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^",])+', _without_comments(value))
    return [one_mailbox(part) for part in parts if part.strip()]


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
            continue
        if not depth:
            kept.append(character)
    if depth or quoted:
        raise AddressError("a bracket or quote does not end")
    return "".join(kept)
