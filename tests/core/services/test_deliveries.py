"""The queue: who gets what, for how long, and what an outcome changes."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.core.services.queueing import ids, settle, take, tried
from tests.support.queue import SOURCE, attempts, deliveries, enqueue, message_status, statuses
from webapp.core.models import utcnow
from webapp.core.rules.statuses import Status
from webapp.core.services.deliveries import LEASE, _due, load_source, release, renew
from webapp.core.services.gateway import Gateway
from webapp.core.services.outcomes import Outcome, RetryPolicy


def test_a_claim_groups_the_recipients_of_a_message(gateway: Gateway) -> None:
    first = enqueue(gateway, "ann@example.org", "bob@example.org", eight_bit=True)
    second = enqueue(gateway, "eve@example.org", captured=True)

    claimed = take(gateway)

    assert [(m.message_id, list(m.recipients.values()), m.eight_bit, m.captured) for m in claimed] == [
        (first, ["ann@example.org", "bob@example.org"], True, False),
        (second, ["eve@example.org"], False, True),
    ]
    assert statuses(gateway) == ["delivering"] * 3
    assert message_status(gateway, first) == "delivering"
    assert take(gateway, lease="two") == []


def test_a_claim_takes_no_more_than_its_limit_and_the_longest_due_first(gateway: Gateway) -> None:
    now = utcnow()
    enqueue(gateway, "late@example.org", due_at=now - timedelta(seconds=1))
    enqueue(gateway, "early@example.org", "early2@example.org", due_at=now - timedelta(seconds=9))

    (claimed,) = take(gateway, limit=2)

    assert list(claimed.recipients.values()) == ["early@example.org", "early2@example.org"]


def test_new_mail_and_retries_are_claimed_apart(gateway: Gateway) -> None:
    new, old = enqueue(gateway), enqueue(gateway, attempts=3)

    assert [m.message_id for m in take(gateway, fresh=True)] == [new]
    assert [m.message_id for m in take(gateway, fresh=False)] == [old]


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(("fresh", "index"), [(True, "ix_deliveries_fresh"), (False, "ix_deliveries_retry")])
def test_a_pile_of_one_kind_is_not_searched_for_the_other(
    gateway: Gateway, fresh: bool, index: str, newest_first: bool
) -> None:
    with gateway.database.session() as session:
        sqlite = session.get_bind().dialect.name == "sqlite"
        due = _due(utcnow(), fresh=fresh, newest_first=newest_first).limit(1)
        query = due.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
        if not sqlite:
            session.execute(text("SET LOCAL enable_seqscan = off"))  # the table is empty here
        plan = session.execute(text(f"EXPLAIN {'QUERY PLAN' if sqlite else ''} {query}")).all()

    assert index in str(plan)


def test_scheduled_mail_waits_for_its_time(gateway: Gateway) -> None:
    at = utcnow() + timedelta(hours=1)
    message_id = enqueue(gateway, send_at=at)

    assert take(gateway) == []
    assert message_status(gateway, message_id) == "scheduled"
    assert len(take(gateway, now=at)) == 1


def test_workers_that_claim_at_once_never_get_the_same(gateway: Gateway) -> None:
    for _ in range(60):
        enqueue(gateway, *(f"r{n}@example.org" for n in range(5)))

    def work(name: str) -> list[int]:
        mine: list[int] = []
        while got := ids(take(gateway, lease=name, limit=7)):
            mine += got
        return mine

    with ThreadPoolExecutor(4) as threads:
        got = [delivery_id for part in threads.map(work, "abcd") for delivery_id in part]

    assert Counter(got) == Counter(row.id for row in deliveries(gateway))


def test_a_lease_that_ended_goes_to_the_next_and_the_late_outcome_is_ignored(gateway: Gateway) -> None:
    message_id = enqueue(gateway)
    now = utcnow()
    (delivery_id,) = ids(take(gateway, lease="dead", now=now))
    assert take(gateway, lease="next", now=now + LEASE - timedelta(seconds=1)) == []
    assert ids(take(gateway, lease="next", now=now + LEASE)) == [delivery_id]

    assert settle(gateway, tried(delivery_id, Status.BOUNCED, "no"), lease="dead") == set()
    assert message_status(gateway, message_id) == "delivering"
    assert attempts(gateway, delivery_id) == []
    assert settle(gateway, tried(delivery_id, Status.DELIVERED, "yes", 250), lease="next") == {delivery_id}
    assert message_status(gateway, message_id) == "delivered"


def test_a_renewed_lease_lasts_longer_and_only_the_holder_can_renew(gateway: Gateway) -> None:
    enqueue(gateway)
    now = utcnow()
    (delivery_id,) = ids(take(gateway, now=now))
    later = now + timedelta(seconds=20)

    with gateway.database.session() as session:
        assert renew(session, lease="other", ids=[delivery_id], now=later) == set()
        assert renew(session, lease="one", ids=[delivery_id], now=later) == {delivery_id}

    assert take(gateway, lease="two", now=now + LEASE) == []
    assert len(take(gateway, lease="two", now=later + LEASE)) == 1


def test_what_is_given_back_can_be_taken_at_once(gateway: Gateway) -> None:
    enqueue(gateway)
    enqueue(gateway, attempts=2)
    enqueue(gateway)
    take(gateway, lease="dead", limit=1)
    take(gateway, lease="dead", fresh=False)
    take(gateway, lease="alive")

    with gateway.database.session() as session:
        assert release(session, lease="dead", now=utcnow()) == 2

    assert statuses(gateway) == ["queued", "deferred", "delivering"]
    assert len(take(gateway)) == 1
    assert len(take(gateway, fresh=False)) == 1


def test_each_recipient_gets_its_own_outcome_and_the_message_the_first_in_rank(gateway: Gateway) -> None:
    message_id = enqueue(gateway, "yes@example.org", "no@example.org", "later@example.org")
    now = utcnow()
    yes, no, later = ids(take(gateway))

    settle(
        gateway,
        tried(yes, Status.DELIVERED, "2.0.0 Taken", 250),
        tried(no, Status.BOUNCED, "5.1.1 Unknown", 550),
        tried(later, Status.DEFERRED, "4.2.0 Busy", 450),
        now=now,
    )

    rows = deliveries(gateway, message_id)
    assert [(r.status, r.smtp_code, r.reason, r.attempts, r.lease) for r in rows] == [
        ("delivered", 250, "2.0.0 Taken", 1, None),
        ("bounced", 550, "5.1.1 Unknown", 1, None),
        ("deferred", 450, "4.2.0 Busy", 1, None),
    ]
    assert [r.due_at for r in rows] == [None, None, now + timedelta(minutes=1)]
    assert message_status(gateway, message_id) == "deferred"
    (attempt,) = attempts(gateway, no)
    assert (attempt.transport, attempt.host, attempt.tls) == ("relay", "relay.test:25", "TLSv1.3")
    assert (attempt.outcome, attempt.smtp_code, attempt.reason) == ("bounced", 550, "5.1.1 Unknown")
    assert attempt.ended_at - attempt.started_at == timedelta(seconds=1)


def test_delays_grow_and_recipients_of_a_message_wait_together(gateway: Gateway) -> None:
    message_id = enqueue(gateway, "ann@example.org", "bob@example.org")
    now, waits = utcnow(), []
    policy = RetryPolicy(first=timedelta(minutes=1), max_age=timedelta(days=5))
    for attempt in range(6):
        both = ids(take(gateway, now=now, fresh=attempt == 0))
        assert len(both) == 2
        settle(gateway, *(tried(key, Status.DEFERRED, "4.2.0 Busy", 450) for key in both), now=now, policy=policy)
        due = {row.due_at for row in deliveries(gateway, message_id)}
        assert len(due) == 1
        waits.append((due.pop() - now) / timedelta(minutes=1))
        now += timedelta(minutes=waits[-1])

    for waited, usual in zip(waits, (1, 5, 15, 60, 60, 60), strict=True):
        assert usual * 0.8 <= waited <= usual * 1.2


def test_mail_is_given_up_once_it_is_too_old_with_the_last_answer(gateway: Gateway) -> None:
    created = utcnow() - timedelta(days=5) + timedelta(minutes=10)
    message_id = enqueue(gateway, attempts=40, created_at=created)
    now = utcnow()

    (delivery_id,) = ids(take(gateway, now=now, fresh=False))
    settle(gateway, tried(delivery_id, Status.DEFERRED, "Connection refused."), now=now)
    (row,) = deliveries(gateway, message_id)
    assert (row.status, row.due_at) == ("deferred", created + timedelta(days=5)), "the last try is not later"

    take(gateway, now=row.due_at, fresh=False)
    settle(gateway, tried(delivery_id, Status.DEFERRED, "4.3.2 Closed", 421), now=row.due_at)
    (row,) = deliveries(gateway, message_id)
    assert (row.status, row.due_at, row.smtp_code) == ("failed", None, 421)
    assert row.reason == "Gave up after 5 days; the last answer was: 4.3.2 Closed"
    assert message_status(gateway, message_id) == "failed"


def test_the_age_of_scheduled_mail_counts_from_its_time(gateway: Gateway) -> None:
    now = utcnow()
    enqueue(gateway, created_at=now - timedelta(days=20), send_at=now - timedelta(minutes=1))

    (delivery_id,) = ids(take(gateway))
    settle(gateway, tried(delivery_id, Status.DEFERRED, "Busy"))

    assert statuses(gateway) == ["deferred"]


def test_what_is_put_off_counts_as_no_attempt_and_keeps_its_last_answer(gateway: Gateway) -> None:
    enqueue(gateway)
    now = utcnow()
    (delivery_id,) = ids(take(gateway))
    settle(gateway, tried(delivery_id, Status.DEFERRED, "4.2.0 Busy", 450), now=now)
    until = now + timedelta(seconds=90)
    take(gateway, now=now + timedelta(minutes=1), fresh=False)

    settle(gateway, Outcome(delivery_id, Status.DEFERRED, not_before=until))

    (row,) = deliveries(gateway)
    assert (row.status, row.attempts, row.due_at) == ("deferred", 1, until)
    assert (row.reason, row.smtp_code) == ("4.2.0 Busy", 450)
    assert len(attempts(gateway, delivery_id)) == 1


def test_captured_mail_shows_no_attempt(gateway: Gateway) -> None:
    message_id = enqueue(gateway, captured=True)
    (delivery_id,) = ids(take(gateway))

    settle(gateway, Outcome(delivery_id, Status.CAPTURED))

    (row,) = deliveries(gateway)
    assert (row.status, row.attempts, row.due_at, row.reason) == ("captured", 0, None, None)
    assert message_status(gateway, message_id) == "captured"
    assert attempts(gateway, delivery_id) == []


def test_outcomes_recorded_at_once_for_one_message_leave_it_right(gateway: Gateway) -> None:
    message_id = enqueue(gateway, *(f"r{n}@example.org" for n in range(20)))
    claimed = [ids(take(gateway, lease=name, limit=5)) for name in "abcd"]

    def work(part: tuple[str, list[int]]) -> None:
        name, mine = part
        for key in mine:
            settle(gateway, tried(key, Status.DELIVERED, "Taken", 250), lease=name)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, zip("abcd", claimed, strict=True)))

    assert set(statuses(gateway)) == {"delivered"}
    assert message_status(gateway, message_id) == "delivered"


def test_the_source_is_read_as_it_was_stored(gateway: Gateway) -> None:
    message_id = enqueue(gateway)
    with gateway.database.session() as session:
        assert load_source(session, message_id) == SOURCE
        assert load_source(session, "missing") is None
