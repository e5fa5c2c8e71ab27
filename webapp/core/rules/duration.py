"""Durations as people write them: ``90d``, ``15m``, ``1h30m``, or plain seconds."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_WHOLE = re.compile(r"(\d+(?:\.\d+)?[smhdw])+\Z", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.IGNORECASE)
_LONGEST = timedelta(days=3650)


def parse_duration(value: object) -> timedelta:
    """Turn ``15m``, ``1h30m``, ``5d``, ``45`` (seconds) or a `timedelta` into a `timedelta`.

    Raise `ValueError` when it is neither, not above zero, or longer than ten years.
    """
    if isinstance(value, timedelta):
        duration = value
    else:
        text = str(value).strip()
        try:
            if re.fullmatch(r"\d+(\.\d+)?", text):
                seconds = float(text)
            elif _WHOLE.match(text):
                seconds = sum(float(n) * _UNITS[unit.lower()] for n, unit in _PART.findall(text))
            else:
                raise ValueError
            duration = timedelta(seconds=seconds)
        except (ValueError, OverflowError):
            raise ValueError("must be a duration such as 30s, 15m, 12h or 5d") from None
    if not timedelta(0) < duration <= _LONGEST:
        raise ValueError("must be a duration above zero and under ten years")
    return duration


def format_duration(duration: timedelta) -> str:
    """Say *duration* in words, its two largest units: ``2 hours 30 minutes``."""
    seconds = max(0, round(duration.total_seconds()))
    parts = []
    for name, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}{'s' if count > 1 else ''}")
    return " ".join(parts[:2]) or "0 seconds"
