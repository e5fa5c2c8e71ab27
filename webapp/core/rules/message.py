"""From what a client handed over to what is stored and sent: judged once, completed, never repaired in silence."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from webapp.core.rules.addresses import AddressError, Mailbox, domain_of
from webapp.core.rules.controls import (
    Controls,
    check_idempotency_key,
    check_tag,
    parse_metadata,
    parse_send_at,
)
from webapp.core.rules.header_fields import (
    Field,
    all_named,
    canonicalise,
    decoded,
    mailboxes,
    one_mailbox,
    split_header,
)
from webapp.core.rules.refusals import Reason, Refused

#: More servers than this have not handled a message unless it goes in a circle (RFC 5321 section 6.3).
MOST_RECEIVED = 50
#: Never passed on: blind copies, what only the last server writes, and what was meant for us.
_DROPPED = frozenset({"bcc", "resent-bcc", "return-path"})
_CONTROLS = "x-postlatch-"
#: Metadata of the largest size that is taken, in JSON with every character escaped.
_LONGEST_CONTROL = 500_000
_CONTROL_NAMES = frozenset(_CONTROLS + name for name in ("tag", "metadata", "send-at", "idempotency-key"))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message fit to be stored. `source` is as it will be sent; the rest is read from it.

    `utf8_headers`: it has headers outside ASCII that need SMTPUTF8 (RFC 6531).
    """

    source: bytes
    from_email: str
    subject: str
    message_id: str
    eight_bit: bool
    utf8_headers: bool
    controls: Controls


def prepare(
    source: bytes,
    *,
    domain: str,
    received: str,
    message_id_host: str,
    now: datetime,
    new_id: str,
    smtputf8: bool,
) -> Prepared:
    """Judge and complete *source* for a sender who may write in the name of *domain* (A-labels, lower case).

    *received* is the value of our ``Received`` header. Raise `Refused`: LOOP, FROM_NOT_ALLOWED, HEADER_NOT_ALLOWED,
    CONTENT_INVALID, INVALID_FIELD.
    """
    fields, body = split_header(canonicalise(source))
    if len(all_named(fields, "received")) > MOST_RECEIVED:
        raise Refused(Reason.LOOP)
    sender = _judge_from(fields, domain)
    _judge_others(fields, domain)
    controls = _read_controls(fields, now)
    kept = [field for field in fields if _is_kept(field)]
    message_ids = all_named(kept, "message-id")
    message_id = message_ids[0].value[:998] if message_ids else f"<{new_id}@{message_id_host}>"
    added = [_fold(f"Received: {received}")]
    if not all_named(kept, "date"):
        added.append(f"Date: {format_datetime(now)}\r\n".encode("ascii"))
    if not message_ids:
        added.append(f"Message-ID: {message_id}\r\n".encode("ascii"))
    head = b"".join([*added, *(field.raw for field in kept)])
    subjects = all_named(kept, "subject")
    ascii_head = head.isascii()
    return Prepared(
        source=head + body,
        from_email=sender.email,
        subject=subjects[0].text if subjects else "",
        message_id=message_id,
        eight_bit=not (ascii_head and body.isascii()),
        utf8_headers=smtputf8 and not ascii_head,
        controls=controls,
    )


def _is_kept(field: Field) -> bool:
    if field.name in {"date", "message-id"}:
        return bool(field.value)  # an empty one is as good as missing
    return field.name not in _DROPPED and field.name not in _CONTROL_NAMES


def _judge_from(fields: list[Field], domain: str) -> Mailbox:
    found = all_named(fields, "from")
    if len(found) != 1:
        problem = "is missing" if not found else "stands there more than once"
        raise Refused(Reason.FROM_NOT_ALLOWED, field="from", cause="from_count", problem=problem, domain=domain)
    try:
        mailbox = one_mailbox(found[0].value)
    except AddressError as error:
        raise Refused(
            Reason.FROM_NOT_ALLOWED, field="from", problem=f"can't be read ({error})", domain=domain
        ) from None
    if domain_of(mailbox.email) != domain:
        problem = f"names {mailbox.email}"
        raise Refused(Reason.FROM_NOT_ALLOWED, field="from", problem=problem, domain=domain)
    return mailbox


def _judge_others(fields: list[Field], domain: str) -> None:
    """Sender (RFC 5322 section 3.6.2) and the identities of a resent message (section 3.6.6) must be ours too."""
    if len(all_named(fields, "sender")) > 1:
        raise Refused(Reason.HEADER_NOT_ALLOWED, cause="sender_count", header="Sender", domain=domain)
    for field in all_named(fields, "sender", "resent-sender", "resent-from"):
        try:
            foreign = any(domain_of(mailbox.email) != domain for mailbox in mailboxes(field.value))
        except AddressError:
            foreign = True
        if foreign:
            raise Refused(Reason.HEADER_NOT_ALLOWED, header=field.name.title(), domain=domain)


def _read_controls(fields: list[Field], now: datetime) -> Controls:
    values: dict[str, str] = {}
    for field in fields:
        if field.name in _CONTROL_NAMES:
            if field.name in values:
                raise Refused(Reason.CONTENT_INVALID, problem=f"its header {field.name} stands there more than once")
            values[field.name] = decoded(field.legible, _LONGEST_CONTROL)
    tag, metadata, send_at, key = (
        values.get(_CONTROLS + name) for name in ("tag", "metadata", "send-at", "idempotency-key")
    )
    return Controls(
        tag=check_tag(tag) if tag else None,
        metadata=parse_metadata(metadata) if metadata else {},
        send_at=parse_send_at(send_at, now) if send_at else None,
        idempotency_key=check_idempotency_key(key) if key else None,
    )


def _fold(header: str) -> bytes:
    """Fold a header of ours at 78 characters (RFC 5322 section 2.1.1)."""
    lines = textwrap.wrap(header, 76, break_long_words=False, break_on_hyphens=False)
    return ("\r\n\t".join(lines) + "\r\n").encode("ascii", "replace")
