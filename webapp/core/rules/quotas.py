"""How much may be sent: messages an hour and a day, counted in a window that slides, and recipients a message.

Messages are counted in slices of the window, so that a count needs little room and no table is leafed through. The
window moves slice by slice: an hour is the minute that runs and the 59 before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

#: Slices of a window that hold something: (begin in Unix seconds, messages), oldest first.
Tally = Sequence[Sequence[int]]
#: The largest limit that can be set.
MOST = 10_000_000


class Period(Enum):
    """A window and its slice, in seconds."""

    HOUR = ("hour", 3_600, 60)
    DAY = ("day", 86_400, 1_200)

    def __init__(self, word: str, seconds: int, slice_seconds: int) -> None:
        self.word = word
        self.seconds = seconds
        self.slice_seconds = slice_seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """What one credential, or all of a domain, may send; None is no limit."""

    messages_per_hour: int | None = None
    messages_per_day: int | None = None
    recipients_per_message: int | None = None

    @property
    def periods(self) -> tuple[tuple[Period, int], ...]:
        """The windows that have a limit, with it."""
        both = ((Period.HOUR, self.messages_per_hour), (Period.DAY, self.messages_per_day))
        return tuple((period, limit) for period, limit in both if limit is not None)


@dataclass(frozen=True, slots=True)
class Allowance:
    """One limit and what is left of it. `owner` is ``credential`` or ``domain``.

    `reset` is in seconds: until more may be sent than now, or the whole window when all of it is free.
    """

    owner: str
    period: Period
    limit: int
    used: int
    reset: int

    @property
    def remaining(self) -> int:
        """How many more messages may be sent now."""
        return max(0, self.limit - self.used)

    @classmethod
    def of(cls, owner: str, period: Period, limit: int, tally: Tally, now: datetime) -> Allowance:
        """What *tally* leaves of *limit*."""
        counted = within(tally, period, now)
        return cls(owner, period, limit, sum(count for _, count in counted), _reset(counted, period, limit, now))


def within(tally: Tally, period: Period, now: datetime) -> list[tuple[int, int]]:
    """The slices that still count."""
    oldest = _slice(period, now) - period.seconds
    return [(begin, count) for begin, count in tally if begin > oldest]


def count_one(tally: Tally, period: Period, now: datetime) -> list[tuple[int, int]]:
    """*tally* with one message more, without what no longer counts."""
    counted, current = within(tally, period, now), _slice(period, now)
    if counted and counted[-1][0] >= current:  # a clock may be a little behind another's
        begin, count = counted[-1]
        return [*counted[:-1], (begin, count + 1)]
    return [*counted, (current, 1)]


def _slice(period: Period, now: datetime) -> int:
    return int(now.timestamp()) // period.slice_seconds * period.slice_seconds


def _reset(counted: Sequence[tuple[int, int]], period: Period, limit: int, now: datetime) -> int:
    excess = sum(count for _, count in counted) - limit + 1
    for begin, count in counted:
        excess -= count
        if excess <= 0:
            return max(1, math.ceil(begin + period.seconds - now.timestamp()))
    return period.seconds
