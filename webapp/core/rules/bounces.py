"""What a server's refusal says of the address: is it dead, ailing, or is it us that are not wanted?"""

from __future__ import annotations

import re
from typing import Literal

BounceType = Literal["hard", "soft", "block"]

#: So many soft bounces in a row suppress an address, unless an owner says otherwise.
SOFT_BOUNCES = 3

_ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
#: The mailbox or its domain is not there, and won't be (RFC 3463 sections 3.2 to 3.5, RFC 7505, RFC 7504).
_HARD = frozenset({"1.0", "1.1", "1.2", "1.3", "1.4", "1.6", "1.10", "2.1", "4.4"})
_HARD_CODES = frozenset({521, 525, 550, 551, 553, 556})
#: Of servers that give no enhanced code, or one that is too general.
_UNWANTED = re.compile(
    r"spam|block(?:ed|list)|black ?list|deny ?list|reputation|policy|dmarc|spf|dkim|rejected for|listed at|banned"
    r"|unauthenticated|not allowed|relay",
    re.IGNORECASE,
)
_FULL = re.compile(r"quota|mailbox (?:is )?full|over ?size|too (?:large|big)", re.IGNORECASE)


def enhanced_code(text: str) -> str | None:
    """The first enhanced status code in *text* (RFC 3463): ``5.1.1``."""
    match = _ENHANCED.search(text)
    return ".".join(match.groups()) if match else None


def classify(code: int | None, text: str) -> BounceType:
    """What the refusal *code* *text* means for the next mail to that address.

    *hard*: the address is dead, nothing more should go there. *soft*: something that may pass, such as a full
    mailbox. *block*: the server refuses us or what we wrote; the address may be as good as ever.
    """
    enhanced = enhanced_code(text)
    _, _, detail = (enhanced or "").partition(".")
    if enhanced and enhanced.startswith("5"):
        if detail.startswith("7."):
            return "block"
        if detail in _HARD:
            return "block" if detail == "1.0" and _UNWANTED.search(text) else "hard"
        if detail != "0.0":
            return "soft"
    if _FULL.search(text):
        return "soft"
    if _UNWANTED.search(text):
        return "block"
    return "hard" if code in _HARD_CODES else "soft"
