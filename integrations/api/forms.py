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
#: ``to[]``, ``to[0]``, ``metadata[order]``, ``attachments[0][filename]``, ``metadata__order``.
_BRACKETS = re.compile(r"([^\[\]]+)\[([^\[\]]*)\](?:\[([^\[\]]+)\])?\Z")
_UNDERLINES = re.compile(r"([^_].*?)__(?:(\d+)__)?(.+)\Z", re.DOTALL)

Pairs = list[tuple[str, str]]
Files = list[tuple[str, AttachedFile]]


class FormValues(list[str]):
    """The values of one form field. They may be split at commas; the elements of a JSON list may not."""


class _Elements(dict[str, dict[str, str]]):
    """A list of objects, by the number that each has in the fields' names."""


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
    found: dict[str, Any] = {}
    for key, value in pairs:
        if value == "":
            continue
        name, index, entry = _path(key)
        kind: type[Any] = _Elements if index is not None else dict if entry is not None else FormValues
        kept = found.setdefault(name, kind())
        if type(kept) is not kind:
            raise ValueError(name)
        if entry is None:
            kept.append(value)
            continue
        target = kept.setdefault(index, {}) if index is not None else kept
        if entry in target:
            raise ValueError(name)
        target[entry] = value
    return {name: list(kept.values()) if isinstance(kept, _Elements) else kept for name, kept in found.items()}


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


def _path(key: str) -> tuple[str, str | None, str | None]:
    """A key's field, the element of the list it is in, and its name there."""
    if match := _BRACKETS.match(key):
        name, first, second = match.groups()
        if second is not None:
            return name, first, second
        return (name, None, None) if first == "" or first.isdigit() else (name, None, first)
    if match := _UNDERLINES.match(key):
        return match[1], match[2], match[3]
    return key, None, None
