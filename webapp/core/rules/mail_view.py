"""A stored message taken apart for people to look at: its text, its HTML, its attachments.

Nothing here judges, and nothing here fails: strangers' programs write MIME of every kind, and the page about a
message is needed most when the message is odd. The standard library's older policy is used on purpose: the modern
one parses headers into structures, which raises on some input and costs twenty times as much.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import compat32

from webapp.core.rules.header_fields import decoded, split_header
from webapp.core.rules.html_view import PICTURE_TYPES
from webapp.core.rules.refusals import Refused

#: Octets of one text part that are decoded; more is cut.
LONGEST_TEXT = 2_000_000
#: Parts of one message that are looked at, and headers that are listed.
MOST_PARTS = 200
MOST_HEADERS = 500
#: Lines that may be a part's boundary; the parser would need seconds for more.
_MOST_BOUNDARIES = 50_000
#: Octets of one picture that is shown inside the message.
LARGEST_PICTURE = 4_000_000
#: Codecs that are no character sets, and slow ones.
_NO_CHARSETS = frozenset({"punycode", "idna", "undefined"})
_READ_ERROR = "The message's structure could not be read in full: look at its source."


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part to be saved. `size` is in octets, decoded; `inline` says that the message itself shows it."""

    number: int
    filename: str
    content_type: str
    size: int
    inline: bool


@dataclass(slots=True)
class MailView:
    """What a message holds. `text` and `html` are None where it has no such part; `problem` is a sentence."""

    headers: list[tuple[str, str]] = field(default_factory=list)
    text: str | None = None
    html: str | None = None
    attachments: list[Attachment] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    problem: str | None = None


def view_mail(source: bytes) -> MailView:
    """Take *source* apart. What can't be read is left out, and `problem` says so."""
    view = MailView()
    try:
        view.headers = _headers(source)
        for number, part in enumerate(_leaves(_parsed(source))):
            if number == MOST_PARTS:
                view.problem = f"The message has more than {MOST_PARTS} parts; the others are in its source."
                break
            try:
                _take(view, number, part)
            except Exception:
                view.problem = _READ_ERROR
    except Exception:  # whatever it is, the rest of the page must not suffer
        view.problem = _READ_ERROR
    return view


def attachment(source: bytes, number: int) -> tuple[Attachment, bytes] | None:
    """The attachment that `view_mail` gave that *number*, and its octets; None if there is none."""
    try:
        for found, part in enumerate(_leaves(_parsed(source))):
            if found == number and number < MOST_PARTS and not _is_body(part):
                content = _content(part)
                return _attachment(number, part, len(content)), content
    except Exception:
        return None
    return None


def _parsed(source: bytes) -> Message:
    if source.count(b"\n--") > _MOST_BOUNDARIES:
        raise ValueError("too many parts")
    return message_from_bytes(source, policy=compat32)


def _headers(source: bytes) -> list[tuple[str, str]]:
    try:
        fields, _ = split_header(source)
    except Refused:
        return []
    return [(f.raw.partition(b":")[0].decode("ascii", "replace").strip(), f.text) for f in fields[:MOST_HEADERS]]


def _leaves(part: Message) -> Iterator[Message]:
    """The parts that hold something, in order. A message inside the message is one part (RFC 2046 section 5.2.1)."""
    waiting = [part]
    while waiting:
        part = waiting.pop()
        inside = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(inside, list):
            waiting.extend(sub for sub in reversed(list(inside)) if isinstance(sub, Message))
        else:
            yield part


def _is_body(part: Message) -> bool:
    shown = part.get_content_type() in {"text/plain", "text/html"} and not isinstance(part.get_payload(), list)
    return shown and part.get_content_disposition() != "attachment" and not _filename(part)


def _take(view: MailView, number: int, part: Message) -> None:
    content = _content(part)
    if not _is_body(part):
        view.attachments.append(_attachment(number, part, len(content)))
        name = str(part.get("Content-ID", "")).strip().strip("<>")
        kind = part.get_content_type()
        if name and kind in PICTURE_TYPES and len(content) <= LARGEST_PICTURE:
            view.pictures.setdefault(name, f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}")
    elif part.get_content_type() == "text/html":
        view.html = _joined(view.html, _text(part, content))
    else:
        view.text = _joined(view.text, _text(part, content))


def _joined(before: str | None, more: str) -> str:
    return more if before is None else f"{before}\n{more}"


def _content(part: Message) -> bytes:
    """The part's octets, its transfer encoding undone; those of a message inside the message as they stand."""
    inside = part.get_payload()
    if isinstance(inside, list):
        return b"\r\n".join(sub.as_bytes() for sub in inside if isinstance(sub, Message))
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _text(part: Message, content: bytes) -> str:
    charset = str(part.get_content_charset() or "utf-8")
    content = content[:LONGEST_TEXT]
    try:
        if codecs.lookup(charset).name in _NO_CHARSETS:
            charset = "utf-8"
        return content.decode(charset, "replace")
    except (LookupError, ValueError):
        return content.decode("utf-8", "replace")


def _attachment(number: int, part: Message, size: int) -> Attachment:
    kind = part.get_content_type()
    name = _filename(part) or ("message.eml" if kind == "message/rfc822" else f"part-{number + 1}")
    inline = part.get("Content-ID") is not None and part.get_content_disposition() != "attachment"
    return Attachment(number, name, kind, size, inline)


def _filename(part: Message) -> str:
    """The name that the sender gave the part, without folders and control characters, at most 200 characters."""
    name = decoded(part.get_filename("") or "")
    name = name.replace("\\", "/").rpartition("/")[2].strip(". ")
    return name if len(name) <= 200 else name[:180] + "…" + name[-19:]
