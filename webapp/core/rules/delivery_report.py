"""Reports on mail that we sent (DSN, RFC 3464), read from what other servers return.

They come from strangers, and are often cut off or slightly wrong. What can't be understood is no report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message

from webapp.core.rules.addresses import AddressError, parse_address
from webapp.core.rules.bounces import enhanced_code
from webapp.core.rules.refusals import printable

#: Recipients of one report that are looked at.
MOST_RECIPIENTS = 2000
_LONGEST_REASON = 1000
#: RFC 6533 section 3 has another name for reports with addresses outside ASCII, which the library doesn't know.
_GLOBAL = re.compile(rb"^(content-type:\s*message/)global-(delivery-status)", re.IGNORECASE | re.MULTILINE)
_ESCAPED = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
_CODE = re.compile(r"([245]\d\d)(?=[ -]|\Z)[ -]?")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a report says of one recipient: the addresses it may be known by here, and whether it *failed* for good.

    `code` is the SMTP code, if the report has one; `reason` the server's words, with an enhanced code if there is one.
    """

    addresses: frozenset[str]
    failed: bool
    code: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """`reporter` is the server that reports, by its own account."""

    reporter: str
    verdicts: Sequence[Verdict]

    def on(self, recipient: str, *, alone: bool) -> Verdict | None:
        """What it says of *recipient*, as stored here.

        One that is *alone*, the only one whom the returned mail can have been for, need not be named: mail that was
        passed on bounces under another address. Then a failure counts if no verdict says otherwise.
        """
        for verdict in self.verdicts:
            if comparable(recipient) in verdict.addresses:
                return verdict
        if alone and self.verdicts and all(verdict.failed for verdict in self.verdicts):
            return self.verdicts[0]
        return None


def read_report(source: bytes) -> Report | None:
    """The report that *source* is; None for any other mail. *source* may be cut off behind the report proper."""
    try:
        message = message_from_bytes(_GLOBAL.sub(rb"\1\2", source))
        if message.get_content_type() != "multipart/report" or not message.is_multipart():
            return None
        for part in message.get_payload():
            if isinstance(part, Message) and part.get_content_type() == "message/delivery-status":
                return _report([block for block in _blocks(part) if block.keys()])
    except (RecursionError, ValueError, LookupError, TypeError):  # what hostile mail makes the library stumble over
        return None
    return None


def comparable(address: str) -> str:
    """The form in which two addresses are the same mailbox for all that we know."""
    try:
        return parse_address(address.strip(" <>")).lower()
    except AddressError:
        return address.strip(" <>").lower()


def _blocks(part: Message) -> Iterator[Message]:
    payload = part.get_payload()
    return (block for block in payload if isinstance(block, Message)) if isinstance(payload, list) else iter(())


def _report(blocks: Sequence[Message]) -> Report | None:
    if len(blocks) < 2:
        return None
    verdicts = [verdict for block in blocks[1 : MOST_RECIPIENTS + 1] if (verdict := _verdict(block))]
    reporter = _typed(_field(blocks[0], "Reporting-MTA"))[1]
    return Report(printable(reporter, 200), verdicts) if verdicts else None


def _verdict(block: Message) -> Verdict | None:
    action = re.match(r"[A-Za-z]*", _field(block, "Action"))
    addresses = {_address(_field(block, name)) for name in ("Original-Recipient", "Final-Recipient")} - {""}
    if not action or not action[0] or not addresses:
        return None
    kind, said = _typed(_field(block, "Diagnostic-Code"))
    match = _CODE.match(said) if kind == "smtp" else None
    text = said[match.end() :] if match else said
    status = enhanced_code(_field(block, "Status"))
    if status and enhanced_code(text) is None:
        text = f"{status} {text}".strip()
    return Verdict(
        addresses=frozenset(addresses),
        failed=action[0].lower() == "failed",
        code=int(match[1]) if match and match[1][0] != "2" else None,
        reason=printable(text, _LONGEST_REASON) or "The receiving server gave no reason.",
    )


def _field(block: Message, name: str) -> str:
    """A field's value in one line; octets outside ASCII as UTF-8."""
    # The library makes � of such octets when asked for one field.
    value = next((str(value) for key, value in block.raw_items() if key.lower() == name.lower()), "")
    if not value.isascii():
        value = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return " ".join(value.split())


def _typed(value: str) -> tuple[str, str]:
    """The type, in lower case, and the rest of a value such as ``dns; mx.example.org``."""
    kind, separator, rest = value.partition(";")
    return (kind.strip().lower(), rest.strip()) if separator else ("", value)


def _address(value: str) -> str:
    kind, address = _typed(value)
    if kind == "utf-8":
        address = _ESCAPED.sub(lambda match: chr(min(int(match[1], 16), 0x10FFFF)), address)
    return comparable(address) if address else ""
