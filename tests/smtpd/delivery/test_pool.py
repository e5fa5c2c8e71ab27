"""Connections to a relay: shared, replaced, kept for new mail, and left alone while it is down."""

from __future__ import annotations

import asyncio

from smtpd.delivery.transports.connect import Timeouts
from smtpd.delivery.transports.pool import PoolLimits
from tests.smtpd.delivery.office import QUICK, Office, target, use
from tests.support.smtp_sink import SmtpSink


def test_one_connection_serves_many_messages_and_is_left_in_time(sink: SmtpSink) -> None:
    async def script(office: Office) -> None:
        for number in range(7):
            await office.send(f"r{number}@example.org")

    use(target(sink), script, limits=PoolLimits(messages=5))

    assert [m.connection for m in sink.messages] == [1, 1, 1, 1, 1, 2, 2]


def test_many_at_once_share_few_connections(sink: SmtpSink) -> None:
    async def script(office: Office) -> None:
        await asyncio.gather(*(office.send(f"r{number}@example.org") for number in range(60)))

    office = use(target(sink), script, limits=PoolLimits(connections=3))

    assert len(sink.messages) == 60
    assert sink.connections <= 3
    assert {outcome.status for outcome in office.outcomes.values()} == {"delivered"}


def test_a_connection_that_the_server_has_had_enough_of_is_replaced_at_once(sink: SmtpSink) -> None:
    sink.most_messages = 2

    async def script(office: Office) -> None:
        for number in range(5):
            await office.send(f"r{number}@example.org")

    office = use(target(sink), script)

    assert [m.connection for m in sink.messages] == [1, 1, 2, 2, 3]
    assert {outcome.status for outcome in office.outcomes.values()} == {"delivered"}


def test_a_connection_closed_while_idle_is_replaced_at_once(sink: SmtpSink) -> None:
    async def script(office: Office) -> None:
        await office.send("a@example.org")
        await asyncio.to_thread(sink.stop)
        await asyncio.to_thread(sink.start)
        await office.send("b@example.org")

    office = use(target(sink), script)

    assert office.result("b@example.org")[0] == "delivered"


def test_nothing_is_sent_once_the_lease_is_lost(sink: SmtpSink) -> None:
    async def script(office: Office) -> None:
        office.ours = False
        await office.send()

    office = use(target(sink), script)

    assert sink.messages == []
    assert office.outcomes == {}


def test_while_it_cools_down_retries_are_put_off_and_new_mail_is_tried(sink: SmtpSink) -> None:
    async def script(office: Office) -> None:
        await office.send("first@example.org")
        await office.send("retry@example.org", fresh=False)
        sink.replies.pop("CONNECT")
        await office.send("new@example.org")
        await office.send("retry2@example.org", fresh=False)

    sink.replies["CONNECT"] = "421 4.3.2 Not now"
    office = use(target(sink), script)

    assert office.result("first@example.org")[:2] == ("deferred", 421)
    put_off = office.outcomes["retry@example.org"]
    assert (put_off.status, put_off.attempt) == ("deferred", None)
    assert put_off.not_before is not None
    assert office.result("new@example.org")[0] == "delivered"
    assert office.result("retry2@example.org")[0] == "delivered", "one success ends the cool-down"


def test_retries_leave_room_for_new_mail(sink: SmtpSink) -> None:
    sink.hangs.add("stuck@example.org")

    async def script(office: Office) -> None:
        stuck = [asyncio.create_task(Office(office.transport).send("stuck@example.org", fresh=False)) for _ in range(9)]
        while sink.connections < 2:
            await asyncio.sleep(0)
        await office.send("new@example.org")
        assert not any(task.done() for task in stuck)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)

    office = use(target(sink), script, limits=PoolLimits(connections=4, retries=2), timeouts=Timeouts())

    assert office.result("new@example.org")[0] == "delivered"


def test_those_who_waited_for_a_connection_share_the_finding_that_there_is_none(sink: SmtpSink) -> None:
    sink.hangs.add("CONNECT")

    async def script(office: Office) -> None:
        await asyncio.gather(*(office.send(f"r{number}@example.org") for number in range(40)))

    office = use(target(sink), script, limits=PoolLimits(connections=2), timeouts=QUICK)

    assert sink.connections <= 3
    assert {outcome.status for outcome in office.outcomes.values()} == {"deferred"}
    assert all(outcome.attempt for outcome in office.outcomes.values())
