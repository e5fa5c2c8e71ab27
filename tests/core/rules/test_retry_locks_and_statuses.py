"""Delays, the ladder of locks, and what a message with several recipients shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.core.rules.locks import lock_duration, next_level
from webapp.core.rules.retry import given_up, next_delay
from webapp.core.rules.statuses import FINAL, Status, message_status

MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 5, 1, tzinfo=UTC)
ORDER = [
    "held",
    "scheduled",
    "queued",
    "delivering",
    "deferred",
    "failed",
    "bounced",
    "cancelled",
    "captured",
    "delivered",
]


@pytest.mark.parametrize(("attempts", "minutes"), [(1, 1), (2, 5), (3, 15), (4, 60), (5, 60), (200, 60)])
def test_delays_grow_and_then_repeat(attempts: int, minutes: int) -> None:
    assert next_delay(attempts, MINUTE, random=0.5) == minutes * MINUTE


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_delays_vary_by_a_fifth(attempts: int, random: float) -> None:
    middle = next_delay(attempts, MINUTE, random=0.5)
    assert 0.8 * middle <= next_delay(attempts, MINUTE, random=random) <= 1.2 * middle


def test_mail_is_given_up_at_its_age() -> None:
    assert given_up(timedelta(days=5), timedelta(days=5))
    assert not given_up(timedelta(days=5) - timedelta(seconds=1), timedelta(days=5))


def test_locks_grow_to_a_day() -> None:
    minutes = [lock_duration(level, 5 * MINUTE) / MINUTE for level in range(6)]
    assert minutes == [5, 30, 120, 1440, 1440, 1440]


def test_the_ladder_starts_again_after_a_day_unlocked() -> None:
    assert next_level(0, NOW - timedelta(hours=23, minutes=59), NOW) == 1
    assert next_level(3, NOW, NOW) == 4
    assert next_level(3, NOW - timedelta(hours=24), NOW) == 0


def test_a_message_shows_the_first_status_that_any_recipient_has() -> None:
    assert [str(status) for status in Status] == ORDER
    for first, second in combinations(ORDER, 2):
        assert message_status([second, first, second]) == first
    with pytest.raises(ValueError, match="at least one"):
        message_status([])


def test_nothing_more_happens_to_what_is_final() -> None:
    assert set(FINAL) == {"failed", "bounced", "cancelled", "captured", "delivered"}
