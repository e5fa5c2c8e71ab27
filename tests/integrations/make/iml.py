"""As much of Make's expression language (IML) as the app uses: what stands between double braces in its files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

_TOKENS = re.compile(r"\s*('(?:[^'])*'|\d+|[A-Za-z_][\w.]*|[(),+])")
_ALONE = re.compile(r"\{\{((?:(?!\}\}).)*)\}\}\Z", re.DOTALL)
_INSIDE = re.compile(r"\{\{((?:(?!\}\}).)*)\}\}", re.DOTALL)


def render(written: Any, scope: dict[str, Any]) -> Any:
    """*written*, a part of a file, with its expressions' values. What has no value is left out, as Make does."""
    if isinstance(written, str):
        if match := _ALONE.match(written):
            return evaluate(match[1], scope)
        return _INSIDE.sub(lambda match: _text(evaluate(match[1], scope)), written)
    if isinstance(written, list):
        return [render(item, scope) for item in written]
    if not isinstance(written, dict):
        return written
    made: dict[str, Any] = {}
    for key, value in written.items():
        given = render(value, scope)
        if key == "{{...}}":
            made |= given or {}
        elif given is not None:
            made[key] = given
    return made


def evaluate(expression: str, scope: dict[str, Any]) -> Any:
    """The value of one expression. Raise `SyntaxError` for what is none."""
    tokens = _tokens(expression)
    value = _sum(tokens, scope)
    if next(tokens, None) is not None:
        raise SyntaxError(expression)
    return value


class _tokens:  # noqa: N801 - an iterator that can look ahead
    def __init__(self, expression: str) -> None:
        self._found = [*self._split(expression), None]

    @staticmethod
    def _split(expression: str) -> Iterator[str]:
        at = 0
        while at < len(expression.rstrip()):
            match = _TOKENS.match(expression, at)
            if not match:
                raise SyntaxError(expression)
            yield match[1]
            at = match.end()

    def peek(self) -> str | None:
        return self._found[0]

    def __next__(self) -> str:
        if self._found[0] is None:
            raise StopIteration
        return self._found.pop(0)  # type: ignore[return-value]


def _sum(tokens: _tokens, scope: dict[str, Any]) -> Any:
    value = _one(tokens, scope)
    while tokens.peek() == "+":
        next(tokens)
        value = _text(value) + _text(_one(tokens, scope))
    return value


def _one(tokens: _tokens, scope: dict[str, Any]) -> Any:
    token = next(tokens)
    if token.startswith("'"):
        return token[1:-1]
    if token.isdigit():
        return int(token)
    if tokens.peek() != "(":
        return _looked_up(token, scope)
    next(tokens)
    arguments = []
    while tokens.peek() != ")":
        arguments.append(_sum(tokens, scope))
        if tokens.peek() == ",":
            next(tokens)
    next(tokens)
    return _FUNCTIONS[token](*arguments)


def _looked_up(path: str, scope: dict[str, Any]) -> Any:
    value: Any = scope
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _replace(text: Any, what: str, by: str) -> str:
    if match := re.fullmatch(r"/(.*)/(g?)", what, re.DOTALL):
        return re.sub(match[1].replace("\\/", "/"), by, _text(text), count=0 if match[2] else 1)
    return _text(text).replace(what, by)


def _format_date(value: datetime | None, pattern: str) -> str | None:
    assert pattern == "YYYY-MM-DDTHH:mm:ssZ"
    return value and value.isoformat(timespec="seconds")


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "trim": lambda text: _text(text).strip(),
    "replace": _replace,
    "if": lambda condition, so, otherwise=None: so if condition else otherwise,
    "ifempty": lambda value, otherwise: otherwise if value in (None, "") else value,
    "contains": lambda text, part: part in _text(text),
    "join": lambda items, between: between.join(items) if items else None,
    "formatDate": _format_date,
    "toCollection": lambda items, key, value: {item[key]: item[value] for item in items or []},
}
