"""Forms, ``application/x-www-form-urlencoded`` and ``multipart/form-data`` (RFC 7578), read strictly.

Werkzeug's own reading puts replacement characters where octets are not UTF-8, and takes a broken form for an empty
one: mail would go out garbled, or be refused for fields that are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder

from webapp.core.rules.compose import AttachedFile

#: Fields, or parts, of one form.
MOST_FIELDS = 10_000
#: What a client may say its text is written in; browsers and older programs use no others.
CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "iso-8859-15", "windows-1252"})
_ESCAPES = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")
#: ``to[]``, ``to[0]``, ``metadata[order]``, ``attachments[0][filename]``: a name and its steps.
_BRACKETS = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\]){1,4})\Z")
_STEP = re.compile(r"\[([^\[\]]*)\]")
#: ``metadata__order``, ``attachments__0__filename``: what Zapier makes of nested fields.
_UNDERLINES = re.compile(r"([^_].*?)__(?:(\d+)__)?(.+)\Z", re.DOTALL)

Pairs = list[tuple[str, str]]
Files = list[tuple[str, AttachedFile]]


class FormValues(list[str]):
    """The values of one form field. They may be split at commas; the elements of a JSON list may not."""


def read_urlencoded(data: bytes, charset: str) -> Pairs:
    """The fields of an urlencoded form, in order. Raise `ValueError`, also for text that is not in *charset*.

    A per cent sign that begins no escape stands for itself. The standard library would take half a minute over a body
    full of those, and as long over one that is escaped throughout.
    """
    parts = data.split(b"&", MOST_FIELDS)
    if len(parts) > MOST_FIELDS:
        raise ValueError("too many fields")
    split = (part.partition(b"=") for part in parts if part)
    return [(_unescaped(name).decode(charset), _unescaped(value).decode(charset)) for name, _, value in split]


def read_multipart(data: bytes, boundary: str) -> tuple[Pairs, Files]:
    """The fields and the named files of a multipart form, in order. Raise `ValueError`."""
    if not boundary:
        raise ValueError("no boundary")
    decoder = MultipartDecoder(boundary.encode("ascii"), max_parts=MOST_FIELDS)
    decoder.receive_data(data)
    decoder.receive_data(None)
    pairs, files = Pairs(), Files()
    part: Field | File | None = None
    pieces: list[bytes] = []
    while not isinstance(event := _next(decoder), Epilogue):
        if isinstance(event, (Field, File)):
            part, pieces = event, []
        elif isinstance(event, Data) and part is not None:
            pieces.append(event.data)
            if not event.more_data:
                _keep(part, b"".join(pieces), pairs, files)
    return pairs, files


def fields_of(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Put the values under their names: `FormValues`, or an object or a list of objects where the names say so.

    Empty values are left out. Raise `ValueError` with the field's name when it is given in two ways.
    """
    return unflattened((key, value) for key, value in pairs if value != "")


def unflattened(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """As `fields_of`, for values of any kind: tools that began with forms write JSON with their names, too."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        name, *steps = _path(key)
        node, last = found, name
        for step in steps:
            child = node.setdefault(last, {})
            if not isinstance(child, dict):
                raise ValueError(name)
            node, last = child, step
        kept = node.setdefault(last, FormValues())
        if not isinstance(kept, FormValues) or (steps and kept):
            raise ValueError(name)
        kept.append(value)
    return {name: _with_lists(value) if isinstance(value, dict) else value for name, value in found.items()}


def _with_lists(node: dict[str, Any]) -> Any:
    """Have what is numbered be a list, and what stands alone stand alone."""
    made = {name: _with_lists(value) if isinstance(value, dict) else value[0] for name, value in node.items()}
    return list(made.values()) if all(name.isdigit() for name in made) else made


def _unescaped(text: bytes) -> bytes:
    return _ESCAPES.sub(lambda run: bytes.fromhex(run[0].replace(b"%", b"").decode()), text.replace(b"+", b" "))


def _next(decoder: MultipartDecoder) -> object:
    try:
        return decoder.next_event()
    except RequestEntityTooLarge:
        raise ValueError("too many parts") from None


def _keep(part: Field | File, data: bytes, pairs: Pairs, files: Files) -> None:
    if not isinstance(part.name, str):
        raise ValueError("a part without a name")
    content_type = part.headers.get("Content-Type", "")
    if isinstance(part, File):
        if part.filename or data:  # a file input that was left empty has neither
            files.append((part.name, AttachedFile(part.filename, data, content_type)))
        return
    charset = parse_options_header(content_type)[1].get("charset", "utf-8").lower()
    if charset not in CHARSETS:
        raise ValueError("an unknown charset")
    pairs.append((part.name, data.decode(charset)))


def _path(key: str) -> list[str]:
    """A key's field, and the steps from there to the value. A last step that only counts is none."""
    if match := _BRACKETS.match(key):
        path = [match[1], *_STEP.findall(match[2])]
    elif match := _UNDERLINES.match(key):
        path = [match[1], *([match[2]] if match[2] else []), match[3]]
    else:
        return [key]
    return path[:-1] if path[-1] == "" or path[-1].isdigit() else path
