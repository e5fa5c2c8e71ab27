"""Attached files: base64 in JSON and forms, the parts of a multipart form, or web addresses."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from integrations.api.coerce import line, refuse, text, unknown_entry, unstringified
from webapp.core.rules.compose import AttachedFile
from webapp.core.rules.linked_files import LinkedFile

LONGEST_FILENAME = 255
MOST_ATTACHMENTS = 200
#: Files to be fetched from the web.
MOST_LINKS = 20
_BETWEEN_LINKS = re.compile(r"[\s,;]+(?=https?://)", re.IGNORECASE)
#: The name of a file that has none.
NAMELESS = "attachment"


def read_attachments(name: str, value: Any) -> list[AttachedFile | LinkedFile]:
    """Files in base64, those that came as parts, and web addresses: a text may have several, one after the other."""
    value = unstringified(name, value)
    items = value if isinstance(value, list) else [value]
    items = [one for item in items for one in _split(unstringified(name, item))]
    if len(items) > MOST_ATTACHMENTS:
        refuse(name, f"There are too many attachments: at most {MOST_ATTACHMENTS}")
    found = [_attachment(name, item) for item in items if item not in (None, "", {})]
    if sum(isinstance(file, LinkedFile) for file in found) > MOST_LINKS:
        refuse(name, f"There are too many attachments by web address: at most {MOST_LINKS}")
    return found


def _split(item: Any) -> list[Any]:
    """The web addresses in a text. A comma or a blank may be part of one; before another one it is not."""
    if not isinstance(item, str) or "://" not in item:
        return [item]
    return _BETWEEN_LINKS.split(item.strip().rstrip(",;"))


def _link(name: str, item: dict[str, Any]) -> LinkedFile:
    if unknown := unknown_entry({"url", "filename", "content_type"}, item):
        refuse(name, f"An attachment by web address has url, filename and content_type, but no {unknown}")
    url = line(name, item["url"] or "").strip()
    if not url:
        refuse(name, "An attachment's url is empty: give the file's web address")
    filename = text(name, item.get("filename") or "")
    return LinkedFile(url, _filename(name, filename) if filename else "", line(name, item.get("content_type") or ""))


def _attachment(name: str, item: Any) -> AttachedFile | LinkedFile:
    if isinstance(item, AttachedFile):  # a part of a multipart form
        return AttachedFile(_filename(name, item.filename), item.content, line(name, item.content_type))
    if isinstance(item, str) and "://" in item[:20]:
        item = {"url": item}
    if isinstance(item, dict) and "url" in item:
        return _link(name, item)
    if not isinstance(item, dict):
        refuse(
            name,
            'An attachment must be a web address, or an object such as {"filename": "a.pdf", "content": "base64…"}',
        )
    if unknown := unknown_entry({"content", "filename", "content_type"}, item):
        refuse(name, f"An attachment has content, filename and content_type, but no {unknown}")
    given = text(name, item.get("content") or "")
    if not given:
        refuse(name, "An attachment has no content: give the file in base64")
    try:
        content = base64.b64decode("".join(given.split()), validate=True)
    except (binascii.Error, ValueError):
        refuse(name, "An attachment's content is not base64")
    filename = _filename(name, text(name, item.get("filename") or ""))
    return AttachedFile(filename, content, line(name, item.get("content_type") or ""))


def _filename(name: str, value: str) -> str:
    """A file's name without its path."""
    given = line(name, value).replace("\\", "/").rpartition("/")[2].strip()
    if len(given) > LONGEST_FILENAME:
        refuse(name, f"The file name is too long: at most {LONGEST_FILENAME} characters")
    return given or NAMELESS
