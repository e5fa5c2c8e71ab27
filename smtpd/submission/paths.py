"""The arguments of MAIL and RCPT (RFC 5321 section 4.1.2), read lightly: one expression, no parser.

It finds out where the path ends and what its parameters are; whether the address in it is one is for the rules.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from webapp.core.rules.refusals import Reason, Refused

#: A path, with or without a source route, which RFC 5321 appendix C tells servers to ignore. A quoted local part may
#: hold spaces and angle brackets.
_PATH = re.compile(
    r' *<(?:@[^\s<>":]+:)?(?P<address>(?:"(?:[^"\\]|\\.)*"(?:@[^\s<>"]*)?|[^\s<>"]*))>(?: +(?P<parameters>.*))?\Z'
)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\s=\x00-\x20\x7f][^\s\x00-\x20\x7f]*))?\Z")
_ESMTP_BODIES = frozenset({"7BIT", "8BITMIME"})


class Path(NamedTuple):
    """An address without its angle brackets (empty: the null path) and the parameters' names in capitals."""

    address: str
    parameters: dict[str, str | None]


class MailParameters(NamedTuple):
    """What MAIL said besides the sender. `size` is in octets."""

    size: int | None
    smtputf8: bool


def parse_path(keyword: str, argument: str, *, invalid: Reason) -> Path:
    """Read ``FROM:<path> parameters``, *keyword* being ``FROM``.

    Raise `Refused`: BAD_ARGUMENTS when there is no path, *invalid* when what is in its brackets can't be an address.
    """
    if argument[: len(keyword) + 1].upper() != f"{keyword}:":
        raise Refused(Reason.BAD_ARGUMENTS, problem=f"write {keyword}:<address>")
    text = argument[len(keyword) + 1 :]
    match = _PATH.match(text)
    if match is None:
        if not text.lstrip(" ").startswith("<") or ">" not in text:
            raise Refused(Reason.BAD_ARGUMENTS, problem=f"write {keyword}:<address>")
        address = text[text.index("<") + 1 : text.rindex(">")]
        raise Refused(invalid, address=address, problem="it is not an address")
    return Path(match["address"], _parameters(match["parameters"] or ""))


def mail_parameters(parameters: dict[str, str | None], *, esmtp: bool) -> MailParameters:
    """Judge MAIL's parameters: SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531) and AUTH (RFC 4954).

    AUTH only names who first sent the mail, and we trust nobody's word for that: it is read and ignored.
    """
    size: int | None = None
    for name, value in parameters.items():
        match name, value:
            case _ if not esmtp:
                raise Refused(Reason.PARAMETER_UNKNOWN, parameter=name)
            case "SIZE", str() if value.isascii() and value.isdigit() and len(value) <= 20:
                size = int(value)
            case "BODY", str() if value.upper() in _ESMTP_BODIES:
                pass
            case ("SMTPUTF8", None) | ("AUTH", str()):
                pass
            case (("SIZE" | "BODY" | "SMTPUTF8" | "AUTH"), _):
                raise Refused(Reason.BAD_ARGUMENTS, problem=f"the value of {name} is wrong")
            case _:
                raise Refused(Reason.PARAMETER_UNKNOWN, parameter=name)
    return MailParameters(size, "SMTPUTF8" in parameters)


def _parameters(text: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for word in text.split():
        match = _PARAMETER.match(word)
        if match is None:
            raise Refused(Reason.BAD_ARGUMENTS, problem="a parameter is not NAME or NAME=value")
        name = match[1].upper()
        if name in found:
            raise Refused(Reason.BAD_ARGUMENTS, problem=f"{name} is given twice")
        found[name] = match[2]
    return found
