"""From what people and tools write in a field to what it means, or a refusal that names the field."""

from __future__ import annotations

from typing import Any, NoReturn

from integrations.api.forms import FormValues
from integrations.api.json_text import parse_json, storable
from webapp.core.rules.addresses import AddressError, Mailbox, parse_address, parse_mailbox, split_address_list
from webapp.core.rules.compose import check_header, check_text
from webapp.core.rules.refusals import Reason, Refused, printable

#: Far beyond what a message may have: longer lists are not even read.
MOST_ADDRESSES, LONGEST_ADDRESS_LIST = 20_000, 2_000_000
MOST_HEADERS = 100
HIGHEST_LIMIT = 100


def text(name: str, value: Any) -> str:
    """One text; a list of one is unwrapped."""
    value = _only(value)
    if isinstance(value, FormValues):
        refuse(name, f"{name} is given more than once")
    if not isinstance(value, str):
        refuse(name, f"{name} must be a text")
    return value


def line(name: str, value: Any) -> str:
    """One text that goes into a header."""
    given = text(name, value)
    check_text(name, given)
    return given


def mailbox(name: str, value: Any) -> Mailbox:
    """Exactly one address: ``j@x.org``, ``"J" <j@x.org>`` or ``{email, name}``."""
    only = _only(unstringified(name, value))
    if isinstance(only, list):
        refuse(name, f"{name} must be exactly one address")
    return _one_mailbox(name, only)


def mailboxes(name: str, value: Any) -> list[Mailbox]:
    """Addresses in any shape. Plain strings and form values are split; each element of a JSON list is one mailbox."""
    value = unstringified(name, value)
    if isinstance(value, list):
        if len(value) > MOST_ADDRESSES:
            refuse(name, f"{name} has too many addresses: send the rest in another message")
        if isinstance(value, FormValues):
            return [found for item in value for found in mailboxes(name, item)]
        return [_one_mailbox(name, item) for item in value if item not in (None, "", {})]
    if not isinstance(value, str):
        return [_one_mailbox(name, value)]
    if len(value) > LONGEST_ADDRESS_LIST:
        refuse(name, f"{name} has too many addresses: send the rest in another message")
    try:
        found = split_address_list(value)
    except AddressError as error:
        refuse(name, f"In {name}, {error}")
    for one in found:
        check_text(name, one.name)
    return found


def mapping(name: str, value: Any) -> dict[str, Any]:
    """A JSON object, the text of one, or a list of its entries as ``{name, value}`` or ``{key, value}``."""
    value = unstringified(name, value)
    value = _from_pairs(name, value) if _are_pairs(value) else _only(value)
    if not isinstance(value, dict):
        refuse(name, f'{name} must be an object such as {{"name": "value"}}')
    return value


def headers(name: str, value: Any) -> dict[str, str]:
    """Headers that the client adds; each is checked. Whole numbers become texts; empty ones are left out."""
    given = {header: content for header, content in mapping(name, value).items() if content not in (None, "")}
    if len(given) > MOST_HEADERS:
        refuse(name, f"There are too many headers: at most {MOST_HEADERS}")
    if len({header.lower() for header in given}) < len(given):
        refuse(name, "A header is given twice, in capitals and in small letters")
    found: dict[str, str] = {}
    for header, content in given.items():
        if isinstance(content, bool) or not isinstance(content, (str, int)):
            refuse(name, f"The header {printable(header, 60)} must be a text")
        found[header] = str(content)  # X-Priority: 1
        check_header(header, found[header])
    return found


def unstringified(name: str, value: Any) -> Any:
    """Read a list or an object that came as its text: forms have nothing else, and tools like to quote twice."""
    only = _only(value) if isinstance(value, FormValues) else value
    if not isinstance(only, str) or only.lstrip()[:1] not in {"[", "{"}:
        return value
    try:
        read = parse_json(only)
    except ValueError:
        return value
    if not storable(read):
        refuse(name, f"{name} has characters that can't be sent: remove NUL and broken emoji")
    return read


def address(name: str, value: Any) -> str:
    """One address to search for, without a name."""
    try:
        return parse_address(text(name, value).strip())
    except AddressError as error:
        refuse(name, f"{name} is not an address: {error}")


def limit(name: str, value: Any) -> int:
    """How many rows are asked for: 1 to `HIGHEST_LIMIT`."""
    given = text(name, value)
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= HIGHEST_LIMIT):
        refuse(name, f"{name} must be a number from 1 to {HIGHEST_LIMIT}")
    return int(given)


def refuse(name: str, problem: str) -> NoReturn:
    """Raise ``Refused(INVALID_FIELD)`` for the field *name*."""
    raise Refused(Reason.INVALID_FIELD, field=name, problem=problem)


def unknown_entry(known: set[str], given: dict[str, Any]) -> str | None:
    """The first of *given*'s names that is not *known*, fit to be shown."""
    return next((printable(name, 40) for name in given if name not in known), None)


def _only(value: Any) -> Any:
    """The element of a list of one; else *value*."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _are_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and set(item) in ({"name", "value"}, {"key", "value"}) for item in value
    )


def _from_pairs(name: str, pairs: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        key = text(name, pair.get("name", pair.get("key")))
        if key in found:
            refuse(name, f"{name} has {printable(key, 60)} twice")
        if key:  # an empty row of a tool's form
            found[key] = pair["value"]
    return found


def _one_mailbox(name: str, value: Any) -> Mailbox:
    shown = value.get("email") if isinstance(value, dict) else value
    try:
        if isinstance(value, dict):
            found = _from_object(name, value)
        elif isinstance(value, str):
            found = _from_text(value)
        else:
            refuse(name, f'{name} takes addresses: a text, a list, or {{"email": …, "name": …}}')
    except AddressError as error:
        refuse(name, f"In {name}, {str(shown)[:80]!r} is not one address: {error}")
    check_text(name, found.name)
    return found


def _from_object(name: str, value: dict[str, Any]) -> Mailbox:
    if unknown := unknown_entry({"email", "name"}, value):
        refuse(name, f"In {name}, an address has email and name, but no {unknown}")
    return Mailbox(parse_address(text(name, value.get("email") or "").strip()), text(name, value.get("name") or ""))


def _from_text(value: str) -> Mailbox:
    """``Doe, J <j@x.org>`` is one mailbox, but ``a@x.org, J <j@x.org>`` would lose the first. Raise `AddressError`."""
    found = parse_mailbox(value)
    if found.name and ("@" in found.name or "\n" in found.name):
        try:
            several = len(split_address_list(value)) > 1
        except AddressError:
            several = False
        if several:
            raise AddressError("there are several; give each as an element of its own")
    return found
