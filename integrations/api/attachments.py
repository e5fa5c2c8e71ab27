"""Attached files: base64 in JSON and forms, or the parts of a multipart form."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from integrations.api.coerce import line, refuse, text, unknown_entry, unstringified
from webapp.core.rules.compose import AttachedFile
from webapp.core.rules.refusals import Reason, Refused

LONGEST_FILENAME = 255
MOST_ATTACHMENTS = 200
#: The name of a file that has none.
NAMELESS = "attachment"


def read_attachments(name: str, value: Any) -> list[AttachedFile]:
    """Files as ``{content, filename, content_type}`` with base64 content, and those that came as parts."""
    value = unstringified(name, value)
    items = value if isinstance(value, list) else [value]
    if len(items) > MOST_ATTACHMENTS:
        refuse(name, f"There are too many attachments: at most {MOST_ATTACHMENTS}")
    return [_attachment(name, unstringified(name, item)) for item in items if item not in (None, "", {})]


def _attachment(name: str, item: Any) -> AttachedFile:
    if isinstance(item, AttachedFile):  # a part of a multipart form
        return AttachedFile(_filename(name, item.filename), item.content, line(name, item.content_type))
    if "url" in item if isinstance(item, dict) else isinstance(item, str) and "://" in item[:20]:
        problem = "Attachments by URL are not available yet: send the file's content in base64"
        raise Refused(Reason.NOT_AVAILABLE, field=name, problem=problem)
    if not isinstance(item, dict):
        refuse(name, 'An attachment must be an object such as {"filename": "a.pdf", "content": "base64…"}')
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
