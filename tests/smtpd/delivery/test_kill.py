"""What ``kill -9`` of the worker costs: nothing lost, and doubles only of what was in flight."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from flask import Flask

from smtpd.delivery.transports.pool import PoolLimits
from tests.support import worker_process
from tests.support.queue import deliveries, enqueue, statuses, until
from tests.support.smtp_sink import SmtpSink
from webapp import gateway_of
from webapp.core.models import utcnow
from webapp.core.services.heartbeats import alive

KILLS = 4
MESSAGES = 240


def test_killed_at_random_moments_it_loses_nothing(make_app: Callable[..., Flask], sink: SmtpSink) -> None:
    gateway = gateway_of(make_app(delivery="relay", relay_url=f"smtp://127.0.0.1:{sink.port}"))
    recipients = [f"r{number}@example.org" for number in range(MESSAGES)]
    for recipient in recipients:
        enqueue(gateway, recipient)

    for _ in range(KILLS):
        worker = worker_process.start(gateway.settings)
        goal = len(sink.messages) + random.randint(1, MESSAGES // KILLS)
        until(lambda goal=goal: len(sink.messages) >= goal)  # type: ignore[misc]
        worker.kill()
        worker.wait(10)
    worker = worker_process.start(gateway.settings)
    until(lambda: set(statuses(gateway)) == {"delivered"}, seconds=40)
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(15) == 0
    arrived = Counter(message.recipients[0] for message in sink.messages)
    assert arrived.keys() == set(recipients)
    assert arrived.total() - MESSAGES <= KILLS * PoolLimits().connections
    assert not any(row.lease for row in deliveries(gateway))


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
