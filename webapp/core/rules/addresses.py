"""E-mail addresses and domain names: the grammar of RFC 5321 section 4.1.2 and RFC 6531, and what this server adds.

No look-up in the DNS. Reserved names such as ``.test`` pass; what names no mail domain at all does not: a domain
without a dot, an address literal, ``localhost``, or a name that a browser would read as an IP address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

LONGEST_ADDRESS, LONGEST_LOCAL = 254, 64
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#: The addresses one meets every day: a dot-atom at a domain in plain letters. The rest takes the long way.
_PLAIN = re.compile(rf"({_ATEXT}(?:\.{_ATEXT})*)@((?:{_LABEL}\.)+{_LABEL})\Z")
_NUMBER = re.compile(r"(?:[0-9]+|0[xX][0-9A-Fa-f]*)\Z")
#: The library refuses all reserved names; behind a public one it judges only the grammar.
_SUFFIX = ".com"
_ANGLED = re.compile(r"(?P<name>.*)<(?P<address>[^<>]*)>\s*\Z", re.DOTALL)
#: Possessive, and matching an unended string too, so that the time it takes grows with the length alone.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+(?P<end>")?', re.DOTALL)


class AddressError(ValueError):
    """The text is no address or domain. It is a short phrase: "the part after the @ has no dot"."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address with its display name, which may be empty."""

    email: str
    name: str = ""


def parse_address(text: str, *, smtputf8: bool = True) -> str:
    """Check one address and return it normalised: the domain as lower-case A-labels, the local part as it is.

    With *smtputf8* the local part may have characters outside ASCII (RFC 6531). Raise `AddressError`.
    """
    if len(text) > LONGEST_ADDRESS:
        raise AddressError(f"it is longer than {LONGEST_ADDRESS} characters")
    match = _PLAIN.match(text)
    if match and "xn--" not in match[2].lower():
        local, domain = match[1], match[2].lower()
    else:
        local, domain = _by_the_book(text, smtputf8=smtputf8)
    if len(local.encode()) > LONGEST_LOCAL:
        raise AddressError(f"the part before the @ is longer than {LONGEST_LOCAL} characters")
    _check_domain(domain)
    return f"{local}@{domain}"


def domain_of(address: str) -> str:
    """The part after the last ``@``."""
    return address.rpartition("@")[2]


def domain_name(text: str) -> str:
    """Check a domain name that mail comes from and return it as lower-case A-labels. Raise `AddressError`."""
    name = text.strip().removesuffix(".")
    if "@" in name:
        raise AddressError("leave out the part before the @")
    return domain_of(parse_address(f"x@{name}"))


def parse_mailbox(text: str) -> Mailbox:
    """Read exactly one ``j@x.org`` or ``"Doe, J" <j@x.org>``. Raise `AddressError`.

    A name may have a comma without quotes, as people write it, unless that makes it a list: no address gets lost.
    """
    match = _ANGLED.match(text)
    if match is None:
        return Mailbox(parse_address(text.strip()))
    name = outside_quotes(match["name"])
    if re.search(r"[<>]", name) or ("@" in name and re.search(r"[,;\r\n]", name)):
        raise AddressError("it is more than one address")
    return Mailbox(parse_address(match["address"].strip()), _unquoted(match["name"].strip()))


def split_address_list(text: str) -> list[Mailbox]:
    """Read a list with commas, semicolons or new lines between; those in quotes or angle brackets don't count.

    Empty entries are left out. Raise `AddressError` naming the entry.
    """
    found = []
    for entry in _entries(text):
        try:
            found.append(parse_mailbox(entry))
        except AddressError as error:
            raise AddressError(f"{entry.strip()[:80]!r} is not an address: {error}") from None
    return found


def outside_quotes(text: str) -> str:
    """*text* without its quoted strings (RFC 5322 section 3.2.4). Raise `AddressError` where one does not end."""
    if any(match["end"] is None for match in _QUOTED.finditer(text)):
        raise AddressError("a quotation mark does not end")
    return _QUOTED.sub("", text)


def _entries(text: str) -> list[str]:
    entries, start, quoted, angled, escaped = [], 0, False, False, False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif not quoted and character in "<>":
            angled = character == "<"
        elif not quoted and not angled and character in ",;\r\n":
            entries.append(text[start:index])
            start = index + 1
    entries.append(text[start:])
    return [entry for entry in entries if entry.strip()]


def _unquoted(name: str) -> str:
    if len(name) >= 2 and name[0] == name[-1] == '"':
        return re.sub(r"\\(.)", r"\1", name[1:-1], flags=re.DOTALL)
    return name


def _by_the_book(text: str, *, smtputf8: bool) -> tuple[str, str]:
    if re.search(r"@\[.*\]\Z", text):
        raise AddressError("the part after the @ must be a domain name, not an IP address")
    if text.endswith("."):
        raise AddressError("it ends with a dot")
    try:
        result = validate_email(
            text + _SUFFIX,
            allow_smtputf8=smtputf8,
            allow_quoted_local=True,
            check_deliverability=False,
        )
    except (EmailNotValidError, UnicodeError) as error:
        raise AddressError(_phrase(str(error))) from None
    return result.local_part, result.ascii_domain.lower().removesuffix(_SUFFIX)


def _check_domain(domain: str) -> None:
    if domain == "localhost" or domain.startswith("localhost."):
        raise AddressError("localhost is no mail domain")
    if "." not in domain:
        raise AddressError("the part after the @ has no dot")
    if _NUMBER.match(domain.rpartition(".")[2]):
        raise AddressError("the part after the @ must be a domain name, not an IP address")
    if len(domain) > 253:
        raise AddressError("the domain name is too long")


def _phrase(sentence: str) -> str:
    """Make a library's sentence fit after a colon."""
    text = sentence.strip().removesuffix(".")
    return text[:1].lower() + text[1:]
