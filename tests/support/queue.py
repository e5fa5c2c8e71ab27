"""Mail in the queue, and a worker that takes it from there."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from smtpd.delivery.engine import DeliveryEngine
from tests.support.factories import make_domain
from webapp.core.models import Delivery, DeliveryAttempt, Domain, Message, MessageSource, utcnow
from webapp.core.rules.identifiers import new_message_id
from webapp.core.rules.statuses import FINAL, Status
from webapp.core.services.gateway import Gateway

SOURCE = b"From: Shop <shop@example.com>\r\nTo: ann@example.org\r\nSubject: Your order\r\n\r\nHello.\r\n"


def enqueue(gateway: Gateway, *recipients: str, **values: Any) -> str:
    """Put a message in the queue as acceptance does; return its id.

    Keyword arguments are `source`, `due_at` and `attempts`, and columns of the message.
    """
    return enqueue_all(gateway, [recipients or ("ann@example.org",)], **values)[0]


def enqueue_all(gateway: Gateway, messages: Sequence[Sequence[str]], **values: Any) -> list[str]:
    """Put many messages in the queue at once, each for some recipients; otherwise as `enqueue`."""
    with gateway.database.session() as session:
        domain = session.scalar(select(Domain.id))
    domain_id = domain if domain is not None else make_domain(gateway)
    with gateway.database.session() as session:
        return [_put(session, recipients, domain_id=domain_id, **values) for recipients in messages]


def _put(
    session: Session,
    recipients: Sequence[str],
    *,
    source: bytes = SOURCE,
    due_at: datetime | None = None,
    attempts: int = 0,
    **values: Any,
) -> str:
    now = utcnow()
    message_id = new_message_id(now)
    send_at = values.get("send_at")
    status = Status.DEFERRED if attempts else Status.SCHEDULED if send_at else Status.QUEUED
    row = {
        "id": message_id,
        "status": status,
        "captured": False,
        "door": "smtp",
        "client_ip": "192.0.2.10",
        "envelope_from": "shop@example.com",
        "from_email": "shop@example.com",
        "size": len(source),
        "eight_bit": not source.isascii(),
        "smtputf8": False,
        "created_at": now,
    }
    session.execute(insert(Message), [row | values])
    session.execute(insert(MessageSource), [{"message_id": message_id, "source": source}])
    session.execute(
        insert(Delivery),
        [
            {
                "message_id": message_id,
                "recipient": recipient,
                "status": status,
                "attempts": attempts,
                "due_at": due_at or send_at or now,
            }
            for recipient in recipients
        ],
    )
    return message_id


def deliveries(gateway: Gateway, message_id: str | None = None) -> list[Delivery]:
    """The deliveries of a message, or of all, in order."""
    query = select(Delivery).order_by(Delivery.id)
    if message_id:
        query = query.where(Delivery.message_id == message_id)
    with gateway.database.session() as session:
        return list(session.scalars(query))


def attempts(gateway: Gateway, delivery_id: int) -> list[DeliveryAttempt]:
    """The attempts made for a delivery, in order."""
    query = select(DeliveryAttempt).where(DeliveryAttempt.delivery_id == delivery_id).order_by(DeliveryAttempt.id)
    with gateway.database.session() as session:
        return list(session.scalars(query))


def statuses(gateway: Gateway, message_id: str | None = None) -> list[str]:
    """The deliveries' statuses, in order."""
    return [row.status for row in deliveries(gateway, message_id)]


def settled(gateway: Gateway) -> bool:
    """Whether nothing is left to do."""
    return {row.status for row in deliveries(gateway)} <= FINAL


def message_status(gateway: Gateway, message_id: str) -> str:
    """What the message shows."""
    with gateway.database.session() as session:
        return session.get_one(Message, message_id).status


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until *condition* holds; fail after *seconds*."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"still not so after {seconds} seconds"
        pause.wait(0.02)


@contextmanager
def delivering(gateway: Gateway, **options: Any) -> Iterator[None]:
    """Deliver in the background while the block runs; options are those of `DeliveryEngine`."""

    async def run(stop: asyncio.Event) -> None:
        await DeliveryEngine(gateway, **options).run(stop)

    with running(run):
        yield


@contextmanager
def running(job: Callable[[asyncio.Event], Awaitable[None]]) -> Iterator[None]:
    """Run a worker's *job* in the background while the block runs."""
    stop: asyncio.Event | None = None
    ready = threading.Event()
    failure: list[BaseException] = []
    loop = asyncio.new_event_loop()

    async def main() -> None:
        nonlocal stop
        stop = asyncio.Event()
        ready.set()
        await job(stop)

    def run() -> None:
        try:
            loop.run_until_complete(main())
            loop.run_until_complete(loop.shutdown_default_executor())
        except BaseException as error:
            failure.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=run, name="running")
    thread.start()
    assert ready.wait(10)
    assert stop is not None
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        assert not thread.is_alive()
        assert not failure, failure
