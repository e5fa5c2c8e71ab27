"""JSON (RFC 8259) as a stranger may send it: strict, of bounded depth, and with nothing that can't be stored."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

#: Objects and lists inside one another; a request of ours needs four.
DEEPEST = 20
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def parse_json(text: str) -> Any:
    """Read JSON, without the NaN and Infinity that Python would take. Raise `ValueError` with a short phrase."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError:  # with the place and the text in it
        raise ValueError("it is not valid JSON") from None
    if _depth(value) > DEEPEST:
        raise ValueError("it is nested too deeply")
    return value


def storable(value: Any) -> bool:
    """Whether no text in *value* has a NUL or half a surrogate pair, which neither mail nor database can hold."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if _UNSTORABLE.search(item):
                return False
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
    return True


def _depth(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        deepest = max(deepest, depth)
        if isinstance(item, dict):
            waiting += [(child, depth + 1) for child in item.values() if isinstance(child, (dict, list))]
        elif isinstance(item, list):
            waiting += [(child, depth + 1) for child in item if isinstance(child, (dict, list))]
    return deepest


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
