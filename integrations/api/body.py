"""A request's body as a plain mapping: JSON, urlencoded or multipart, as programs and no-code tools send it."""

from __future__ import annotations

from typing import Any

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from integrations.api.forms import (
    CHARSETS,
    Files,
    FormValues,
    Pairs,
    fields_of,
    read_multipart,
    read_urlencoded,
    unflattened,
)
from integrations.api.json_text import parse_json, storable
from webapp.core.rules.refusals import Reason, Refused, printable
from webapp.settings import Settings

_EMPTY: tuple[object, ...] = (None, "", [], {})
_EXAMPLE = '{"from": "…", "to": "…"}'

#: What a request may weigh beside its message, in octets.
_OVERHEAD = 1024 * 1024


def largest_body(settings: Settings) -> int:
    """The largest request, in octets: base64 in a form weighs half as much again as what is in it."""
    return settings.max_message_bytes * 3 // 2 + _OVERHEAD


def read_body(request: Request, *, limit: int) -> tuple[dict[str, Any], Files]:
    """The fields and the named files of *request*, at most *limit* octets. Empty fields are left out.

    Raise `Refused`: BAD_REQUEST, UNSUPPORTED_TYPE, INVALID_FIELD; Werkzeug's 413.
    """
    request.max_content_length = limit + 1
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in {"identity", ""}:
        raise Refused(Reason.UNSUPPORTED_TYPE, cause="content_encoding")
    read = _reader(request)
    data = _octets(request, limit)
    if not data.strip():
        raise Refused(Reason.BAD_REQUEST, problem=f"the body is empty; send a JSON object such as {_EXAMPLE}")
    fields, files = read(data)
    for name, value in fields.items():
        if not storable([name, value]):
            shown = printable(name, 40)
            problem = f"{shown} has characters that can't be sent: remove NUL and broken emoji"
            raise Refused(Reason.INVALID_FIELD, field=shown, problem=problem)
    return {name: value for name, value in fields.items() if value not in _EMPTY}, files


def _octets(request: Request, limit: int) -> bytes:
    """The whole body. One that broke off is refused: what came of it may read as a whole message."""
    try:
        data = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise
    except Exception as error:  # what the server in front calls it: a broken chunk, a lost connection
        raise _broken_off() from error
    if len(data) > limit:  # of a chunked body Werkzeug gives the beginning, and says nothing
        raise RequestEntityTooLarge
    if len(data) < (request.content_length or 0):
        raise _broken_off()
    return data


def _broken_off() -> Refused:
    return Refused(Reason.BAD_REQUEST, cause="body_broke_off", problem="its body broke off; send it again")


def _reader(request: Request) -> Any:
    """What reads the request's type. Raise ``Refused(UNSUPPORTED_TYPE)``."""
    mimetype, parameters = request.mimetype, request.mimetype_params
    charset = parameters.get("charset", "utf-8").lower()
    if charset not in CHARSETS:
        raise Refused(Reason.UNSUPPORTED_TYPE, cause="charset")
    if mimetype == "application/json" or (mimetype.startswith("application/") and mimetype.endswith("+json")):
        return lambda data: (_json_object(_text(data, charset)), [])
    if mimetype == "application/x-www-form-urlencoded":
        return lambda data: (_urlencoded(data, charset), [])
    if mimetype == "multipart/form-data":
        return lambda data: _multipart(data, parameters.get("boundary", ""))
    raise Refused(Reason.UNSUPPORTED_TYPE)


def _text(data: bytes, charset: str) -> str:
    try:
        return data.decode(charset).removeprefix("\ufeff")
    except UnicodeError:
        raise Refused(Reason.BAD_REQUEST, problem=f"its text is not {charset.upper()}") from None


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise Refused(Reason.BAD_REQUEST, problem=str(error)) from None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        raise Refused(Reason.BAD_REQUEST, problem=f"the body must be one JSON object such as {_EXAMPLE}")
    return _as_fields(value)


def _as_fields(value: dict[str, Any]) -> dict[str, Any]:
    """*value* with the names of forms, such as ``to[]`` and ``metadata__order``, put where they belong."""
    flat = {name: item for name, item in value.items() if "[" in name or "__" in name}
    if not flat:
        return value
    try:
        fields = unflattened((name, item) for name, item in flat.items() if item not in _EMPTY)
    except ValueError as error:
        raise _given_twice(str(error)) from None
    for name, item in fields.items():
        if name in value and name not in flat and value[name] not in _EMPTY:
            raise _given_twice(name)
        # One that counts its values only is a list of its own, or the elements of one.
        fields[name] = _merged(item) if isinstance(item, FormValues) else item
    return {name: item for name, item in value.items() if name not in flat} | fields


def _merged(values: list[Any]) -> Any:
    """``{"to[]": ["a", "b"]}`` and ``{"to[0]": "a", "to[1]": "b"}`` mean the same."""
    return [one for value in values for one in (value if isinstance(value, list) else [value])]


def _urlencoded(data: bytes, charset: str) -> dict[str, Any]:
    if data.lstrip()[:1] in {b"{", b"["}:  # ``curl -d '{…}'`` says that JSON is a form
        return _json_object(_text(data, charset))
    try:
        pairs = read_urlencoded(data, charset)
    except ValueError:
        problem = f"the form is broken, too long, or its text is not {charset.upper()}"
        raise Refused(Reason.BAD_REQUEST, problem=problem) from None
    return _fields(pairs)


def _multipart(data: bytes, boundary: str) -> tuple[dict[str, Any], Files]:
    try:
        pairs, files = read_multipart(data, boundary)
    except ValueError:
        problem = "the multipart form is broken, has too many parts, or its text is not UTF-8"
        raise Refused(Reason.BAD_REQUEST, problem=problem) from None
    return _fields(pairs), files


def _fields(pairs: Pairs) -> dict[str, Any]:
    try:
        return fields_of(pairs)
    except ValueError as error:
        raise _given_twice(str(error)) from None


def _given_twice(name: str) -> Refused:
    name = printable(name, 40)
    return Refused(Reason.INVALID_FIELD, field=name, problem=f"{name} is given in two ways: choose one")
