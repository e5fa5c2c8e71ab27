"""Hooks are told: signed as Standard Webhooks say, once if it goes well, and as said if it doesn't."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select
from standardwebhooks.webhooks import WebhookVerificationError

from integrations.webhooks import dispatch
from tests.integrations.webhooks.conftest import HookOffice, dispatching
from tests.support.hook_receiver import HookReceiver
from tests.support.queue import until
from webapp.core.models import HookDelivery, utcnow
from webapp.core.rules.events import EventName
from webapp.core.services import events, hook_queue, hooks


def test_an_event_arrives_signed_and_as_the_api_lists_it(office: HookOffice, receiver: HookReceiver) -> None:
    hook_id, secret = office.hook(receiver.url)
    office.happen()

    with dispatching(office.gateway):
        until(lambda: office.statuses() == ["delivered"])

    (got,) = receiver.received
    event = got.verified(secret)
    with office.gateway.database.session() as session:
        (listed,) = events.latest(session, office.domain_id, limit=10)
    assert event == listed
    assert list(event) == list(listed)
    assert got.id == event["id"]
    assert got.headers["Content-Type"] == "application/json"
    (attempt,) = office.attempts()
    assert (attempt.outcome, attempt.status_code, attempt.response) == ("delivered", 200, "Thank you.")
    assert event["id"] in attempt.request
    assert secret not in attempt.request
    assert got.headers["webhook-signature"] not in attempt.request
    assert office.state(hook_id).state == "active"


def test_each_event_and_recipient_is_a_post_of_its_own(office: HookOffice, receiver: HookReceiver) -> None:
    _, secret = office.hook(receiver.url)
    office.happen(7)

    with dispatching(office.gateway):
        until(lambda: office.statuses() == ["delivered"] * 7)

    assert sorted(got.verified(secret)["recipient"] for got in receiver.received) == [
        f"r{n}@example.org" for n in range(7)
    ]


def test_a_server_error_is_retried_under_the_same_id(office: HookOffice, receiver: HookReceiver) -> None:
    answers = iter([500, 404, 200])
    receiver.answer = lambda _: next(answers)
    _, secret = office.hook(receiver.url)
    office.happen()

    with dispatching(office.gateway):
        until(lambda: office.statuses() == ["delivered"])

    assert len({got.id for got in receiver.received}) == 1
    assert [got.verified(secret)["event"] for got in receiver.received] == ["delivered"] * 3
    assert [attempt.reason for attempt in office.attempts()] == [
        "It answered 500 Internal Server Error.",
        "It answered 404 Not Found.",
        "",
    ]


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_by_all_that_waits(office: HookOffice, receiver: HookReceiver, status: int) -> None:
    answers = iter([(status, {"Retry-After": "1"})])
    receiver.answer = lambda _: next(answers, 200)
    office.hook(receiver.url)
    office.happen()

    with dispatching(office.gateway):
        until(lambda: receiver.received)
        until(office.attempts)
        office.happen()
        until(lambda: office.statuses() == ["delivered"] * 2)

    first, *others = (got.at for got in receiver.received)
    assert all(at - first > 0.9 for at in others)


def test_gone_removes_the_hook(office: HookOffice, receiver: HookReceiver) -> None:
    receiver.answer = 410
    hook_id, _ = office.hook(receiver.url)
    office.happen()

    with dispatching(office.gateway):
        until(lambda: office.state(hook_id).state == "removed")
        office.happen()

    assert (len(receiver.received), office.statuses()) == (1, ["failed"])
    with office.gateway.database.session() as session:
        (hook,) = hooks.troubled(session)
        assert (hook.id, "410" in hook.state_reason) == (hook_id, True)


def test_a_redirect_is_not_followed(office: HookOffice, receiver: HookReceiver) -> None:
    with HookReceiver() as inside:
        receiver.answer = 307, {"Location": inside.url}
        office.hook(receiver.url)
        office.happen()

        with dispatching(office.gateway):
            until(office.attempts)

        assert inside.received == []
    assert office.attempts()[0].reason.startswith(f"It answered 307, a redirect to {inside.url}.")


def test_a_private_target_is_not_called(make_office: Callable[..., HookOffice], receiver: HookReceiver) -> None:
    office = make_office(allow_private_webhooks=False)
    for host in ("127.0.0.1", "localhost"):
        office.hook(receiver.url.replace("http://127.0.0.1", f"https://{host}"))
    office.happen()

    with dispatching(office.gateway):
        until(lambda: len(office.attempts()) >= 2)

    assert receiver.received == []
    assert all("not on the public internet" in attempt.reason for attempt in office.attempts())


def test_after_three_days_in_vain_the_hook_is_paused(
    make_office: Callable[..., HookOffice], receiver: HookReceiver
) -> None:
    receiver.answer = 500
    office = make_office(retry_max_age="0.1s")
    hook_id, _ = office.hook(receiver.url)
    office.happen()

    with dispatching(office.gateway):
        until(lambda: office.state(hook_id).state == "paused")
        office.happen(3)

    hook = office.state(hook_id)
    assert (hook.troubled, office.statuses()) == (True, ["failed"])
    assert hook.state_reason.endswith("It answered 500 Internal Server Error.")


def test_a_paused_hook_is_mended_and_sent_again(make_office: Callable[..., HookOffice], receiver: HookReceiver) -> None:
    receiver.answer = 500
    office = make_office(retry_max_age="0.1s")
    hook_id, secret = office.hook(receiver.url)
    office.happen()

    with dispatching(office.gateway):
        until(lambda: office.state(hook_id).state == "paused")
        receiver.answer = 200
        office.change(hooks.try_by_hand, office.deliveries()[0])
        until(lambda: office.statuses() == ["delivered"])
        assert office.state(hook_id).state == "paused"  # people decide when it goes on
        office.change(hooks.resume, office.state(hook_id))
        office.happen()
        until(lambda: office.statuses() == ["delivered"] * 2)

    assert receiver.received[0].id == receiver.received[-2].id
    assert receiver.received[-1].verified(secret)["event"] == "delivered"


def test_a_test_event_reaches_a_paused_hook_once(office: HookOffice, receiver: HookReceiver) -> None:
    receiver.answer = 500
    hook_id, secret = office.hook(receiver.url, "bounced")
    office.change(hooks.pause, office.state(hook_id))
    sample = events.sample(EventName.BOUNCED, domain="example.com", now=utcnow())
    office.change(hooks.send_test, office.state(hook_id), sample=sample)

    with dispatching(office.gateway):
        until(lambda: office.statuses() == ["failed"])

    (got,) = receiver.received
    assert got.verified(secret) == sample
    assert office.state(hook_id).troubled is False


def test_two_secrets_sign_during_a_rotation(office: HookOffice, receiver: HookReceiver) -> None:
    hook_id, old = office.hook(receiver.url)
    vault = office.gateway.vault
    new = office.change(lambda s, a, hook, **v: hooks.rotate(s, a, vault, hook, **v), office.state(hook_id),
                        grace=timedelta(hours=1))  # fmt: skip
    office.happen()
    with dispatching(office.gateway):
        until(lambda: office.statuses() == ["delivered"])
        newest = office.change(lambda s, a, hook, **v: hooks.rotate(s, a, vault, hook, **v), office.state(hook_id),
                               grace=timedelta(0))  # fmt: skip
        office.happen()
        until(lambda: office.statuses() == ["delivered"] * 2)

    first, second = receiver.received
    assert first.verified(old) == first.verified(new)
    assert second.verified(newest)
    for secret in (old, new):
        with pytest.raises(WebhookVerificationError):
            second.verified(secret)


def test_what_a_killed_worker_held_is_told_by_the_next(office: HookOffice, receiver: HookReceiver) -> None:
    hook_id, _ = office.hook(receiver.url)
    office.happen(3)
    killed_at = utcnow() - hook_queue.LEASE
    with office.gateway.database.session() as session:
        assert len(hook_queue.claim(session, {hook_id: (0, 2)}, lease="killed", now=utcnow())) == 2
        session.query(HookDelivery).filter_by(lease="killed").update({"due_at": killed_at + hook_queue.LEASE})

    with dispatching(office.gateway):
        until(lambda: office.statuses() == ["delivered"] * 3)

    assert len({got.id for got in receiver.received}) == len(receiver.received) == 3


def test_an_outcome_counts_only_under_the_lease(office: HookOffice) -> None:
    hook_id, _ = office.hook("http://127.0.0.1:9/")
    office.happen()
    policy = dispatch.RetryPolicy(first=timedelta(minutes=1), max_age=timedelta(days=5), random=lambda: 0.5)
    with office.gateway.database.session() as session:
        (taken,) = hook_queue.claim(session, {hook_id: (1, 1)}, lease="one", now=utcnow())
        assert hook_queue.claim(session, {hook_id: (1, 1)}, lease="two", now=utcnow()) == []
        posted = hook_queue.Posted(taken.delivery_id, hook_id, True, utcnow(), utcnow(), request="")
        hook_queue.record(session, [posted], lease="two", policy=policy, now=utcnow())
        assert session.scalar(select(HookDelivery.status)) == "waiting"
        hook_queue.record(session, [posted], lease="one", policy=policy, now=utcnow())
        assert session.scalar(select(HookDelivery.status)) == "delivered"


def test_retries_wait_longer_and_longer(office: HookOffice) -> None:
    hook_id, _ = office.hook("http://127.0.0.1:9/")
    office.happen()
    policy = dispatch.RetryPolicy(first=timedelta(minutes=1), max_age=timedelta(days=5), random=lambda: 0.5)
    now, waits = utcnow(), []
    for _ in range(6):
        with office.gateway.database.session() as session:
            (taken,) = hook_queue.claim(session, {hook_id: (0, 1)}, lease="one", now=now)
            posted = hook_queue.Posted(taken.delivery_id, hook_id, False, now, now, request="", reason="No.")
            hook_queue.record(session, [posted], lease="one", policy=policy, now=now)
            due_at = session.scalars(select(HookDelivery.due_at)).one()
        assert due_at
        waits.append(round((due_at - now).total_seconds() / 60))
        now = due_at

    assert waits == [1, 5, 15, 60, 60, 60]


def test_a_stopping_worker_finishes_and_gives_back(office: HookOffice, receiver: HookReceiver) -> None:
    office.hook(receiver.url)
    office.happen(200)

    with dispatching(office.gateway):
        until(lambda: receiver.received)

    assert all(row.lease is None for row in office.deliveries())
    assert office.statuses().count("delivered") == len(receiver.received)
