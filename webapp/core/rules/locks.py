"""How long a lock lasts, and how it grows when repeated."""

from __future__ import annotations

from datetime import datetime, timedelta

_MULTIPLES = (1, 6, 24, 288)
#: After so long without a lock the ladder starts again.
FORGIVEN_AFTER = timedelta(hours=24)


def lock_duration(level: int, first: timedelta) -> timedelta:
    """How long the lock of *level* (0 is the first of a row) lasts: 1, 6, 24, then 288 times *first*."""
    return first * _MULTIPLES[min(level, len(_MULTIPLES) - 1)]


def next_level(level: int, unlocked_at: datetime, now: datetime) -> int:
    """The level of a lock that follows one of *level*, which ended at *unlocked_at*."""
    return 0 if now - unlocked_at >= FORGIVEN_AFTER else level + 1
