"""How fast events are told, and who waits for whom."""

from __future__ import annotations

import pytest

from integrations.webhooks import dispatch, posting
from tests.integrations.webhooks.conftest import HookOffice, dispatching
from tests.support.hook_receiver import HookReceiver
from tests.support.queue import until
from webapp.core.rules.events import EventName


def test_a_hanging_receiver_is_given_up_on_and_holds_up_nobody(
    office: HookOffice, receiver: HookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "TIMEOUT", 1.5)
    with HookReceiver() as slow:
        slow.hang = True
        slow_id, _ = office.hook(slow.url)
        office.happen(20)
        fast_id, _ = office.hook(receiver.url)

        with dispatching(office.gateway):
            until(lambda: len(slow.received) == dispatch.ROOM)
            office.happen(3)
            until(lambda: office.statuses(fast_id) == ["delivered"] * 3)
            until(lambda: len(office.attempts()) > 3)

    failed = [attempt for attempt in office.attempts() if attempt.outcome == "failed"]
    assert failed[0].reason == "It did not answer within 2 seconds."
    assert set(office.statuses(slow_id)) == {"waiting"}


def test_a_dead_receiver_is_asked_one_at_a_time(office: HookOffice, receiver: HookReceiver) -> None:
    dead_id, _ = office.hook("http://127.0.0.1:9/", "bounced")
    office.happen(30, EventName.BOUNCED)

    with dispatching(office.gateway):
        until(lambda: len(office.attempts()) >= 10)

    assert all("can't be reached" in attempt.reason for attempt in office.attempts())
    assert office.state(dead_id).state == "active"


def test_a_host_gets_no_more_than_its_pace(office: HookOffice, receiver: HookReceiver) -> None:
    for name in ("a", "b", "c"):
        office.hook(f"{receiver.url}/{name}")
    office.happen(15)

    with dispatching(office.gateway):
        until(lambda: len(receiver.received) == 45)

    times = sorted(got.at for got in receiver.received)
    assert times[-1] - times[0] >= 44 / 30
