"""A request's body as a plain mapping: JSON, urlencoded or multipart, as programs and no-code tools send it."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from flask import Request
from werkzeug.datastructures import MultiDict

from webapp.core.rules.compose import AttachedFile
from webapp.core.rules.refusals import Reason, Refused

#: ``metadata[order]`` and ``metadata__order`` in a form are the entry ``order`` of ``metadata``.
_NESTED = re.compile(r"(headers|metadata)(?:\[([^\]]+)\]|__(.+))\Z")
_DEEPEST = 20


class FormValues(list[str]):
    """The values of one form field. They may be split at commas; the elements of a JSON list may not."""


def read_body(request: Request, *, limit: int) -> tuple[dict[str, Any], list[AttachedFile]]:
    """The fields and the files of *request*, at most *limit* octets. Empty fields are left out.

    Raise `Refused`: BAD_REQUEST, UNSUPPORTED_TYPE, INVALID_FIELD; Werkzeug's 413.
    """
    request.max_content_length = limit
    request.max_form_memory_size = limit
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refused(Reason.UNSUPPORTED_TYPE)
    mimetype = request.mimetype
    files: list[AttachedFile] = []
    if mimetype == "application/json" or mimetype.endswith("+json"):
        fields = _from_json(request.get_data(cache=False))
    elif mimetype in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        fields = _from_form(request.form)
        files = [
            AttachedFile(part.filename or "attachment", part.read(), part.mimetype)
            for _, part in request.files.items(multi=True)
            if part.filename
        ]
    else:
        raise Refused(Reason.UNSUPPORTED_TYPE)
    for name, value in fields.items():
        _check_characters(name, name)
        _check_characters(name, value)
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}, files


def parse_json(text: str | bytes) -> Any:
    """Read JSON (RFC 8259), without the NaN and Infinity that Python would take. Raise `ValueError`."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if _depth(value) > _DEEPEST:
        raise ValueError("nested too deeply")
    return value


def _from_json(data: bytes) -> dict[str, Any]:
    try:
        value = parse_json(data)
    except ValueError as error:
        problem = "the body is nested too deeply" if "deeply" in str(error) else "the body is not valid JSON in UTF-8"
        raise Refused(Reason.BAD_REQUEST, problem=problem) from None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        raise Refused(Reason.BAD_REQUEST, problem='the body must be a JSON object such as {"from": "…", "to": "…"}')
    return value


def _from_form(form: MultiDict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key in form:
        values = FormValues(value for value in form.getlist(key) if value != "")
        if not values:
            continue
        if nested := _NESTED.match(key):
            entries = fields.setdefault(nested[1], {})
            if not isinstance(entries, dict):
                _refuse(nested[1], f"{nested[1]} is given in two ways")
            entries[nested[2] or nested[3]] = values[0]
            continue
        name = key.removesuffix("[]")
        if isinstance(fields.get(name), FormValues):
            fields[name].extend(values)
        else:
            fields[name] = values
    return fields


def _check_characters(name: str, value: Any) -> None:
    """Refuse what no message and no database can hold, wherever it hides."""
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            _refuse(name, f"{name[:40]} has characters that can't be sent: remove NUL and broken emoji")
    elif isinstance(value, list):
        for item in value:
            _check_characters(name, item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_characters(name, key)
            _check_characters(name, item)


def _depth(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        deepest = max(deepest, depth)
        if isinstance(item, dict):
            waiting += [(child, depth + 1) for child in item.values()]
        elif isinstance(item, list):
            waiting += [(child, depth + 1) for child in item]
    return deepest


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse(name: str, problem: str) -> NoReturn:
    raise Refused(Reason.INVALID_FIELD, field=name[:40], problem=problem)
