"""What people do to mail that waits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.core.services.queueing import ids, settle, take, tried
from tests.support.queue import enqueue, message_status, statuses
from webapp.core.models import utcnow
from webapp.core.rules.statuses import Status
from webapp.core.services.deliveries_control import cancel, retry_now
from webapp.core.services.gateway import Gateway


def test_retry_now_makes_deferred_mail_due_and_leaves_the_rest(gateway: Gateway) -> None:
    message_id = enqueue(gateway, attempts=2, due_at=utcnow() + timedelta(hours=1))
    other = enqueue(gateway, attempts=2, due_at=utcnow() + timedelta(hours=1))

    with gateway.database.session() as session:
        assert retry_now(session, message_id, utcnow()) == 1
        assert retry_now(session, "missing", utcnow()) == 0

    assert [m.message_id for m in take(gateway, fresh=False)] == [message_id]
    assert message_status(gateway, other) == "deferred"


@pytest.mark.parametrize("values", [{}, {"attempts": 2}, {"send_at": utcnow() + timedelta(hours=1)}])
def test_cancelled_mail_is_never_sent(gateway: Gateway, values: dict[str, object]) -> None:
    message_id = enqueue(gateway, "ann@example.org", "bob@example.org", **values)  # type: ignore[arg-type]

    with gateway.database.session() as session:
        assert cancel(session, message_id, utcnow()) == 2

    later = utcnow() + timedelta(days=1)
    assert message_status(gateway, message_id) == "cancelled"
    assert take(gateway, now=later) == []
    assert take(gateway, now=later, fresh=False) == []


def test_what_a_worker_has_in_its_hands_is_not_cancelled(gateway: Gateway) -> None:
    message_id = enqueue(gateway, "ann@example.org", "bob@example.org")
    (delivery_id,) = ids(take(gateway, limit=1))

    with gateway.database.session() as session:
        assert cancel(session, message_id, utcnow()) == 1

    settle(gateway, tried(delivery_id, Status.DELIVERED, "Taken", 250))
    assert statuses(gateway) == ["delivered", "cancelled"]
    assert message_status(gateway, message_id) == "cancelled"
