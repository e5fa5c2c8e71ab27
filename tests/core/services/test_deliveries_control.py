"""What people do to mail that waits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import delete, update

from tests.core.services.queueing import ids, settle, take, tried
from tests.support.queue import enqueue, message_status, statuses
from webapp.core.models import Delivery, Message, MessageSource, utcnow
from webapp.core.rules.statuses import Status
from webapp.core.services import domains
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.deliveries_control import cancel, hold, release, retry_now, send_again
from webapp.core.services.errors import ServiceError
from webapp.core.services.gateway import Gateway


def test_retry_now_makes_deferred_mail_due_and_leaves_the_rest(gateway: Gateway) -> None:
    message_id = enqueue(gateway, attempts=2, due_at=utcnow() + timedelta(hours=1))
    other = enqueue(gateway, attempts=2, due_at=utcnow() + timedelta(hours=1))

    with gateway.database.session() as session:
        assert retry_now(session, [message_id], utcnow()) == 1
        assert retry_now(session, ["missing"], utcnow()) == 0

    assert [m.message_id for m in take(gateway, fresh=False)] == [message_id]
    assert message_status(gateway, other) == "deferred"


@pytest.mark.parametrize("values", [{}, {"attempts": 2}, {"send_at": utcnow() + timedelta(hours=1)}])
def test_cancelled_mail_is_never_sent(gateway: Gateway, values: dict[str, object]) -> None:
    message_id = enqueue(gateway, "ann@example.org", "bob@example.org", **values)  # type: ignore[arg-type]

    with gateway.database.session() as session:
        assert cancel(session, [message_id], utcnow()) == 2

    later = utcnow() + timedelta(days=1)
    assert message_status(gateway, message_id) == "cancelled"
    assert take(gateway, now=later) == []
    assert take(gateway, now=later, fresh=False) == []


def test_what_a_worker_has_in_its_hands_is_not_cancelled(gateway: Gateway) -> None:
    message_id = enqueue(gateway, "ann@example.org", "bob@example.org")
    (delivery_id,) = ids(take(gateway, limit=1))

    with gateway.database.session() as session:
        assert cancel(session, [message_id], utcnow()) == 1

    settle(gateway, tried(delivery_id, Status.DELIVERED, "Taken", 250))
    assert statuses(gateway) == ["delivered", "cancelled"]
    assert message_status(gateway, message_id) == "cancelled"


def test_held_mail_stays_until_released_and_goes_on_where_it_was(gateway: Gateway) -> None:
    now = utcnow()
    later = now + timedelta(hours=1)
    fresh = enqueue(gateway)
    tried_before = enqueue(gateway, attempts=2, due_at=later)
    scheduled = enqueue(gateway, due_at=later, send_at=later)
    held = [fresh, tried_before, scheduled]
    with gateway.database.session() as session:
        assert hold(session, held, now) == 3
        assert hold(session, held, now) == 0
    assert [message_status(gateway, id_) for id_ in held] == ["held"] * 3
    assert take(gateway, now=now + timedelta(days=1)) == []
    assert take(gateway, now=now + timedelta(days=1), fresh=False) == []
    with gateway.database.session() as session:
        assert release(session, held, now) == 3
    assert [message_status(gateway, id_) for id_ in held] == ["queued", "deferred", "scheduled"]
    assert [m.message_id for m in take(gateway, now=now)] == [fresh]
    assert scheduled in [m.message_id for m in take(gateway, now=later)]


def test_what_waits_for_its_files_is_not_held(gateway: Gateway) -> None:
    message_id = enqueue(gateway)
    with gateway.database.session() as session:
        session.execute(update(Delivery).values(due_at=None))
        assert hold(session, [message_id], utcnow()) == 0


def again(gateway: Gateway, message_id: str, *, captured: bool = False) -> str:
    with gateway.database.session() as session:
        message = session.get_one(Message, message_id)
        return send_again(session, message, client_ip="192.0.2.1", captured=captured, now=utcnow())


def test_captured_mail_leaves_only_as_a_copy(gateway: Gateway) -> None:
    message_id = enqueue(gateway, "ann@example.org", "bob@example.org", captured=True)
    settle(gateway, *[tried(id_, Status.CAPTURED, None, None) for id_ in ids(take(gateway))])
    with gateway.database.session() as session:
        domains.set_vouched(session, COMMAND_LINE, domains.find(session, "example.com"), vouched=True)
    copy = again(gateway, message_id)
    (taken,) = take(gateway)
    assert (taken.message_id, taken.captured) == (copy, False)
    assert list(taken.recipients.values()) == ["ann@example.org", "bob@example.org"]
    assert message_status(gateway, message_id) == "captured"


def test_a_copy_goes_to_those_who_missed_it_or_to_all(gateway: Gateway) -> None:
    message_id = enqueue(gateway, "ann@example.org", "bob@example.org")
    first, second = ids(take(gateway))
    with pytest.raises(ServiceError, match="on its way"):
        again(gateway, message_id, captured=True)
    settle(gateway, tried(first, Status.DELIVERED, "Taken", 250), tried(second, Status.BOUNCED, "No", 550))
    again(gateway, message_id, captured=True)
    (taken,) = take(gateway)
    assert list(taken.recipients.values()) == ["bob@example.org"]
    settle(gateway, *[tried(id_, Status.DELIVERED, "Taken", 250) for id_ in ids([taken])])
    again(gateway, taken.message_id, captured=True)
    assert [list(m.recipients.values()) for m in take(gateway)] == [["bob@example.org"]]


def test_a_copy_needs_its_content_and_a_domain_that_may_send(gateway: Gateway) -> None:
    message_id = enqueue(gateway)
    with gateway.database.session() as session:
        cancel(session, [message_id], utcnow())
    with pytest.raises(ServiceError, match="may not send"):
        again(gateway, message_id)
    with gateway.database.session() as session:
        session.execute(delete(MessageSource))
    with pytest.raises(ServiceError, match="no longer kept"):
        again(gateway, message_id, captured=True)
