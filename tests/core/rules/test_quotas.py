"""Counting messages in a window that slides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from webapp.core.rules.quotas import Allowance, Period, count_one

NOON = datetime(2026, 11, 25, 12, 0, 30, tzinfo=UTC)


def tally_of(*ages: float, period: Period = Period.HOUR) -> list[tuple[int, int]]:
    """What is counted when messages came so many seconds before noon."""
    tally: list[tuple[int, int]] = []
    for age in sorted(ages, reverse=True):
        tally = count_one(tally, period, NOON - timedelta(seconds=age))
    return tally


def test_what_is_older_than_the_window_no_longer_counts() -> None:
    tally = tally_of(3_700, 3_500, 1_800, 0)
    allowance = Allowance.of("credential", Period.HOUR, 10, tally, NOON)
    assert (allowance.used, allowance.remaining) == (3, 7)


def test_a_reached_limit_says_when_the_next_may_be_sent() -> None:
    tally = tally_of(600, 300, 0)
    reached = Allowance.of("credential", Period.HOUR, 2, tally, NOON)
    assert reached.remaining == 0
    at = NOON + timedelta(seconds=reached.reset)
    assert Allowance.of("credential", Period.HOUR, 2, tally, at).remaining == 1
    assert Allowance.of("credential", Period.HOUR, 2, tally, at - timedelta(seconds=1)).remaining == 0


def test_without_a_message_the_whole_window_is_free() -> None:
    assert Allowance.of("domain", Period.DAY, 5, [], NOON).reset == 86_400


@given(
    gaps=st.lists(st.floats(min_value=0, max_value=5_000), min_size=1, max_size=60),
    limit=st.integers(min_value=1, max_value=8),
    period=st.sampled_from(Period),
)
def test_no_window_ever_holds_more_than_the_limit(gaps: list[float], limit: int, period: Period) -> None:
    now, tally = NOON, []
    sent: list[datetime] = []
    for gap in gaps:
        now += timedelta(seconds=gap)
        allowance = Allowance.of("credential", period, limit, tally, now)
        assert 0 < allowance.reset <= period.seconds
        if allowance.remaining:
            tally = count_one(tally, period, now)
            sent.append(now)
    # To the slice: the oldest one of a window is forgiven as a whole.
    window = timedelta(seconds=period.seconds - period.slice_seconds)
    for begin in sent:
        assert sum(begin <= at <= begin + window for at in sent) <= limit
    assert len(tally) <= period.seconds // period.slice_seconds
