"""From what people and tools write in a field to what it means, or a refusal that names the field."""

from __future__ import annotations

import base64
import binascii
from typing import Any, NoReturn

from integrations.api.body import FormValues, parse_json
from webapp.core.rules.addresses import AddressError, Mailbox, parse_address, parse_mailbox, split_address_list
from webapp.core.rules.compose import AttachedFile, check_header, check_text
from webapp.core.rules.refusals import Reason, Refused

LONGEST_FILENAME = 255


def text(name: str, value: Any) -> str:
    """One text; a list of one is unwrapped."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
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
    value = _unstringified(value)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return _one_mailbox(name, value)


def mailboxes(name: str, value: Any) -> list[Mailbox]:
    """Addresses in any shape. Plain strings and form values are split; each element of a JSON list is one mailbox."""
    value = _unstringified(value)
    if isinstance(value, FormValues):
        return [found for item in value for found in mailboxes(name, item)]
    if isinstance(value, list):
        return [_one_mailbox(name, item) for item in value if item not in (None, "")]
    if not isinstance(value, str):
        return [_one_mailbox(name, value)]
    try:
        found = split_address_list(value)
    except AddressError as error:
        refuse(name, f"In {name}, {error}")
    for one in found:
        check_text(name, one.name)
    return found


def mapping(name: str, value: Any) -> dict[str, Any]:
    """A JSON object, or the text of one."""
    value = _unstringified(value)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        refuse(name, f'{name} must be an object such as {{"name": "value"}}')
    return value


def headers(name: str, value: Any) -> dict[str, str]:
    """Headers that the client adds; each is checked."""
    found: dict[str, str] = {}
    for header, content in mapping(name, value).items():
        if not isinstance(content, str):
            refuse(name, f"The header {header} must be a text")
        check_header(header, content)
        if header.lower() in {known.lower() for known in found}:
            refuse(name, f"The header {header} is given twice")
        found[header] = content
    return found


def attachments(name: str, value: Any) -> list[AttachedFile]:
    """Files as ``{content, filename, content_type}`` with base64 content."""
    value = _unstringified(value)
    items = value if isinstance(value, list) else [value]
    return [_attachment(name, _unstringified(item)) for item in items if item not in (None, "")]


def filename(name: str, value: Any) -> str:
    """A file's name without its path."""
    given = line(name, value).replace("\\", "/").rpartition("/")[2].strip()
    if len(given) > LONGEST_FILENAME:
        refuse(name, f"The file name is too long: at most {LONGEST_FILENAME} characters")
    return given or "attachment"


def refuse(name: str, problem: str) -> NoReturn:
    """Raise ``Refused(INVALID_FIELD)`` for the field *name*."""
    raise Refused(Reason.INVALID_FIELD, field=name, problem=problem)


def _attachment(name: str, item: Any) -> AttachedFile:
    if isinstance(item, AttachedFile):  # a part of a multipart request
        return item
    if isinstance(item, str) or (isinstance(item, dict) and "url" in item):
        problem = "Attachments by URL are not available yet: send the file's content in base64"
        raise Refused(Reason.NOT_AVAILABLE, field=name, problem=problem)
    if not isinstance(item, dict):
        refuse(name, 'An attachment must be an object such as {"filename": "a.pdf", "content": "base64…"}')
    if unknown := item.keys() - {"content", "filename", "content_type"}:
        refuse(name, f"An attachment has content, filename and content_type, but no {min(map(str, unknown))[:40]}")
    try:
        content = base64.b64decode("".join(text(name, item.get("content") or "").split()), validate=True)
    except (binascii.Error, ValueError):
        refuse(name, "An attachment's content is not base64")
    return AttachedFile(
        filename(name, item.get("filename") or "attachment"), content, line(name, item.get("content_type") or "")
    )


def _one_mailbox(name: str, value: Any) -> Mailbox:
    try:
        if isinstance(value, dict):
            if unknown := value.keys() - {"email", "name"}:
                refuse(name, f"In {name}, an address has email and name, but no {min(map(str, unknown))[:40]}")
            found = Mailbox(
                parse_address(text(name, value.get("email") or "").strip()), text(name, value.get("name") or "")
            )
        elif isinstance(value, str):
            found = parse_mailbox(value)
        else:
            refuse(name, f'{name} takes addresses: a text, a list, or {{"email": …, "name": …}}')
    except AddressError as error:
        refuse(name, f"In {name}, {_shown(value)} is not one address: {error}")
    check_text(name, found.name)
    return found


def _shown(value: Any) -> str:
    given = value.get("email", "") if isinstance(value, dict) else value
    return repr(str(given)[:60])


def _unstringified(value: Any) -> Any:
    """Tools send a list or an object as its text; a form has texts only."""
    only = value[0] if isinstance(value, FormValues) and len(value) == 1 else value
    if isinstance(only, str) and only.lstrip()[:1] in {"[", "{"}:
        try:
            return parse_json(only)
        except ValueError:
            return value
    return value
