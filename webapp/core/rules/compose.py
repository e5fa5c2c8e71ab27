"""From an API request's fields to a message (RFC 5322, RFC 2045).

The header is written here rather than by the standard library, which puts long tokens such as a ``List-Unsubscribe``
address into encoded words; the body is the library's.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email import policy
from email.header import Header
from email.message import EmailMessage

from webapp.core.rules.addresses import Mailbox
from webapp.core.rules.html_text import html_to_text
from webapp.core.rules.refusals import Reason, Refused

LONGEST_VALUE = 998
_NAME = re.compile(r"[!-9;-~]{1,76}\Z")  # RFC 5322 section 2.2
_FORBIDDEN = re.compile(
    r"(?:from|sender|to|cc|bcc|reply-to|return-path|received|dkim-signature|message-id|subject"
    r"|mime-.*|content-.*|resent-.*|x-postlatch-.*)\Z",
    re.IGNORECASE,
)
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BROKEN = re.compile("[\x00\ud800-\udfff]")
_CONTENT_TYPE = re.compile(r"([A-Za-z0-9!#$&^_.+-]{1,60})/([A-Za-z0-9!#$&^_.+-]{1,100})(?:\s*;.*)?\Z", re.DOTALL)
#: White space with the word after it, which is how a line may be folded (RFC 5322 section 2.2.3).
_WORD = re.compile(r"[ \t]*[^ \t]+")
_LINE_LENGTH, _LONGEST_LINE = 78, 998  # RFC 5322 section 2.1.1
#: No server on the way must convert it, which would break a signature (RFC 6376 section 5.3).
_SEVEN_BIT = policy.SMTP.clone(cte_type="7bit")
_SPECIALS = re.compile(r'[()<>@,:;".\[\]\\]')


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file to attach. `content_type` may be empty: then the name tells it."""

    filename: str
    content: bytes = field(repr=False)
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a message is made of. Blind copies are in the envelope alone, so not here."""

    sender: Mailbox
    to: Sequence[Mailbox] = ()
    cc: Sequence[Mailbox] = ()
    reply_to: Sequence[Mailbox] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: Sequence[AttachedFile] = ()


def check_header(name: str, value: str) -> None:
    """Check a header that a client adds. Raise ``Refused(INVALID_FIELD)``.

    Those that say who sends, to whom and in which form have fields of their own, or are the server's.
    """
    if not _NAME.match(name):
        _refuse("headers", f"{name[:60]!r} can't be a header's name")
    if _FORBIDDEN.match(name):
        hint = ": use the field reply_to" if name.lower() == "reply-to" else ""
        _refuse("headers", f"The header {name} can't be set here{hint}")
    check_text("headers", value, what=f"The header {name}")


def check_text(field_name: str, value: str, *, what: str | None = None) -> None:
    """Check what goes into a header: no control character, at most 998 characters. Raise ``Refused(INVALID_FIELD)``."""
    what = what or field_name
    if _CONTROLS.search(value):
        _refuse(field_name, f"{what} has a line break or another control character: leave it out")
    if len(value) > LONGEST_VALUE:
        _refuse(field_name, f"{what} is too long: at most {LONGEST_VALUE} characters")


def compose(draft: Draft) -> bytes:
    """Write the message with CRLF line ends. ``Date`` and ``Message-ID`` are added on acceptance.

    Raise ``Refused(INVALID_FIELD)`` for what no message can hold.
    """
    _check(draft)
    lines = [_address_header("From", [draft.sender])]
    if draft.to:
        lines.append(_address_header("To", draft.to))
    if draft.cc:
        lines.append(_address_header("Cc", draft.cc))
    if not draft.to and not draft.cc:
        lines.append("To: undisclosed-recipients:;\r\n")
    if draft.reply_to:
        lines.append(_address_header("Reply-To", draft.reply_to))
    lines.append(text_header("Subject", draft.subject))
    lines += [text_header(name, value) for name, value in draft.headers.items()]
    return "".join(lines).encode() + _body(draft).as_bytes()


def attachment_part(attached: AttachedFile) -> bytes:
    """The very octets that *attached* has in a composed message, header and base64."""
    return _part(attached).as_bytes()


def _check(draft: Draft) -> None:
    for name, mailboxes in (("from", [draft.sender]), ("to", draft.to), ("cc", draft.cc), ("reply_to", draft.reply_to)):
        for mailbox in mailboxes:
            check_text(name, mailbox.name)
    check_text("subject", draft.subject)
    for name, value in draft.headers.items():
        check_header(name, value)
    for attached in draft.attachments:
        check_text("attachments", attached.filename)
    for name, text in (("text", draft.text), ("html", draft.html)):
        if text and _BROKEN.search(text):
            _refuse(name, f"{name} has characters that can't be sent: remove NUL and broken emoji")


def _body(draft: Draft) -> EmailMessage:
    message = EmailMessage(policy=_SEVEN_BIT)
    text = draft.text
    if text is None and draft.html is not None:
        text = html_to_text(draft.html)
    message.set_content(text or "")
    if draft.html is not None:
        message.add_alternative(draft.html, subtype="html")
    if draft.attachments:
        message.make_mixed()
    for attached in draft.attachments:
        message.attach(_part(attached))
    return message


def _part(attached: AttachedFile) -> EmailMessage:
    part = EmailMessage(policy=_SEVEN_BIT)
    main, sub = _content_type(attached)
    part.set_content(attached.content, maintype=main, subtype=sub, filename=attached.filename, disposition="attachment")
    return part


def _content_type(attached: AttachedFile) -> tuple[str, str]:
    given = attached.content_type or mimetypes.guess_type(attached.filename)[0] or ""
    match = _CONTENT_TYPE.match(given.strip())
    # A message or multipart may not be in base64 (RFC 2046 section 5.2.1), which keeps a file as it is.
    if match is None or match[1].lower() in {"message", "multipart"}:
        return "application", "octet-stream"
    return match[1].lower(), match[2].lower()


def _address_header(name: str, mailboxes: Sequence[Mailbox]) -> str:
    return f"{name}: " + ",\r\n ".join(_mailbox(mailbox) for mailbox in mailboxes) + "\r\n"


def _mailbox(mailbox: Mailbox) -> str:
    if not mailbox.name:
        return mailbox.email
    if not mailbox.name.isascii() or len(mailbox.name) > 200 or "=?" in mailbox.name:
        name = Header(mailbox.name, "utf-8", maxlinelen=60).encode(linesep="\r\n")
    elif _SPECIALS.search(mailbox.name):
        name = '"' + re.sub(r'(["\\])', r"\\\1", mailbox.name) + '"'
    else:
        name = mailbox.name
    return f"{name} <{mailbox.email}>"


def text_header(name: str, value: str) -> str:
    """A whole header line or more, encoded (RFC 2047) where *value* needs it."""
    if value.isascii() and "=?" not in value:
        plain = folded(name, value)
        if max(map(len, plain.split("\r\n"))) <= _LONGEST_LINE:
            return plain
    encoded = Header(value, "utf-8", header_name=name, maxlinelen=76).encode(linesep="\r\n")
    return f"{name}: {encoded}\r\n"


def folded(name: str, value: str) -> str:
    """Fold at white space alone, never before the first word: a long token stays whole, and no line is blank."""
    lines, line = [], f"{name}:"
    for word in _WORD.findall(" " + value.strip(" \t")):
        if len(line) + len(word) > _LINE_LENGTH and len(line) > len(name) + 1:
            lines.append(line)
            line = ""
        line += word
    return "\r\n".join([*lines, line]) + "\r\n"


def _refuse(name: str, problem: str) -> None:
    raise Refused(Reason.INVALID_FIELD, field=name, problem=problem)
