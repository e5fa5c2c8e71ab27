"""What ``kill -9`` of the worker costs: nothing lost, and doubles only of what was in flight."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import chain

import pytest
from flask import Flask
from sqlalchemy import func, select

from smtpd.delivery.transports.pool import PoolLimits
from tests.smtpd.delivery.mail_net import MailNet, net
from tests.support import worker_process
from tests.support.queue import deliveries, enqueue, enqueue_all, until
from tests.support.smtp_sink import SmtpSink
from webapp import gateway_of
from webapp.core.models import Delivery, utcnow
from webapp.core.services.gateway import Gateway
from webapp.core.services.heartbeats import alive

__all__ = ["net"]

KILLS = 5
#: 2,000 deliveries: each message goes to two recipients at each of two servers.
MESSAGES, RECIPIENTS = 500, 2
SERVERS = ("mx.example.org", "mx.example.net")


@pytest.mark.timeout(300)  # five workers start, one after the other
def test_killed_at_random_moments_it_loses_nothing(net: MailNet) -> None:
    sinks = [net.serve(host) for host in SERVERS]
    for host in SERVERS:
        net.domain(host.removeprefix("mx."), f"10 {host}")
    gateway = net.gateway()
    messages = [
        [f"r{number}.{one}@{host.removeprefix('mx.')}" for host in SERVERS for one in range(RECIPIENTS)]
        for number in range(MESSAGES)
    ]
    wanted = Counter(chain.from_iterable(messages))
    enqueue_all(gateway, messages)

    def transactions() -> int:
        return sum(len(sink.messages) for sink in sinks)

    for _ in range(KILLS):
        goal = transactions() + random.randint(1, MESSAGES * len(SERVERS) // (KILLS + 1))
        with worker_process.start(gateway.settings) as worker:
            try:
                until(lambda goal=goal: transactions() >= goal, seconds=60)  # type: ignore[misc]
            finally:
                worker.kill()
    with worker_process.start(gateway.settings) as worker:
        try:
            until(lambda: count(gateway, "delivered") == wanted.total(), seconds=90)
        finally:
            worker.send_signal(signal.SIGTERM)

    assert worker.returncode == 0
    arrived = Counter(recipient for sink in sinks for message in sink.messages for recipient in message.recipients)
    assert arrived.keys() == wanted.keys()
    twice = arrived.total() - wanted.total()
    assert twice <= KILLS * PoolLimits().connections * len(SERVERS) * RECIPIENTS  # one message a kill and connection
    assert not any(row.lease for row in deliveries(gateway))


def count(gateway: Gateway, status: str) -> int:
    with gateway.database.session() as session:
        return session.scalar(select(func.count()).where(Delivery.status == status)) or 0


def test_sigterm_ends_it_soon_and_cleanly_while_it_sends(make_app: Callable[..., Flask], sink: SmtpSink) -> None:
    gateway = gateway_of(make_app(delivery="relay", relay_url=f"smtp://127.0.0.1:{sink.port}"))
    for number in range(100):
        enqueue(gateway, f"r{number}@example.org")

    worker = worker_process.start(gateway.settings)
    until(lambda: len(sink.messages) >= 10)
    with gateway.database.session() as session:
        assert alive(session, utcnow()) == {"worker": True}
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0

    rows = deliveries(gateway)
    assert sum(row.status == "delivered" for row in rows) == len(sink.messages)
    assert {row.status for row in rows} <= {"delivered", "queued"}
    assert all(row.due_at and row.due_at <= utcnow() + timedelta(0) for row in rows if row.status == "queued")
