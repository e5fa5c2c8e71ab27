"""Who may send what: several workers, dead ones, ones that stop, and a database that goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from smtpd.delivery.transports.connect import Timeouts
from tests.support.queue import (
    deliveries,
    delivering,
    enqueue,
    settled,
    statuses,
    until,
)
from tests.support.smtp_sink import SmtpSink
from webapp.core.models import Delivery, utcnow
from webapp.core.services.deliveries import claim
from webapp.core.services.gateway import Gateway

MakeGateway = Callable[..., Gateway]


def test_two_workers_send_everything_once(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    recipients = [f"r{number}@example.org" for number in range(150)]
    for recipient in recipients:
        enqueue(gateway, recipient)

    with ExitStack() as workers:
        for _ in range(2):
            workers.enter_context(delivering(gateway))
        until(lambda: settled(gateway))

    assert Counter(m.recipients[0] for m in sink.messages) == Counter(recipients)


def test_leases_of_a_dead_worker_of_this_machine_are_taken_over_at_once(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    with delivering(gateway):  # leaves its name behind
        pass
    lease = Path(gateway.settings.data_dir, "worker.lock").read_text()
    enqueue(gateway)
    with gateway.database.session() as session:
        assert claim(session, lease=lease, now=utcnow(), limit=1, fresh=True)

    with delivering(gateway):
        until(lambda: settled(gateway), seconds=5)

    assert len(sink.messages) == 1


def test_leases_of_a_worker_that_lives_are_left_alone(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    sink.hangs.add("ann@example.org")
    enqueue(gateway)

    with delivering(gateway, timeouts=Timeouts(command=4)):
        until(lambda: statuses(gateway) == ["delivering"])
        (held,) = deliveries(gateway)
        with delivering(gateway):
            enqueue(gateway, "new@example.org")
            until(lambda: sink.arrived("new@example.org"))
        (row, _) = deliveries(gateway)
        assert (row.status, row.lease) == ("delivering", held.lease)


def test_what_is_in_flight_at_a_stop_is_finished_or_given_back(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    sink.hangs.add("stuck@example.org")
    enqueue(gateway, "stuck@example.org")

    with delivering(gateway):
        until(lambda: sink.connections)

    (row,) = deliveries(gateway)
    assert (row.status, row.lease, row.attempts) == ("queued", None, 0)
    assert row.due_at is not None
    assert row.due_at <= utcnow()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_outcome_is_kept_until_the_database_is_back(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    path = gateway.database.path
    away = path.with_suffix(".away")
    sink.hangs.add("DATA")
    enqueue(gateway)

    with capture_logs() as logs, delivering(gateway):
        until(lambda: sink.messages)
        path.rename(away)
        sink.hangs.clear()
        until(lambda: any(line.get("writer") == "outcomes" for line in logs))
        away.rename(path)
        until(lambda: settled(gateway))

    assert statuses(gateway) == ["delivered"]
    assert len(sink.messages) == 1


def test_all_outcomes_are_committed_before_it_ends(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    for number in range(40):
        enqueue(gateway, f"r{number}@example.org")

    with delivering(gateway):
        until(lambda: len(sink.messages) >= 5)

    with gateway.database.session() as session:
        delivered = session.scalars(select(Delivery.recipient).where(Delivery.status == "delivered")).all()
    assert Counter(delivered) == Counter(m.recipients[0] for m in sink.messages)
    assert not any(row.lease for row in deliveries(gateway))
