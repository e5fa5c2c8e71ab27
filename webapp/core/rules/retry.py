"""When a deferred delivery is tried again."""

from __future__ import annotations

from datetime import timedelta

_MULTIPLES = (1, 5, 15, 60)
#: Delays vary by so much either way, so that mail deferred together doesn't come back together.
JITTER = 0.2


def next_delay(attempts: int, first: timedelta, *, random: float) -> timedelta:
    """The delay after *attempts* failed tries (at least 1): 1, 5, 15, 60 times *first*, then the last again.

    *random*, in [0, 1), places it within ±20 %.
    """
    multiple = _MULTIPLES[min(max(attempts, 1), len(_MULTIPLES)) - 1]
    return first * multiple * (1 - JITTER + 2 * JITTER * random)


def given_up(age: timedelta, max_age: timedelta) -> bool:
    """Whether mail that has waited for *age* is given up."""
    return age >= max_age
