"""A domain with hooks, and the real dispatcher in the background."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from integrations.webhooks.dispatch import Dispatcher
from tests.support.factories import make_domain
from tests.support.hook_receiver import HookReceiver
from tests.support.queue import enqueue, running
from webapp import gateway_of
from webapp.core.models import Domain, Hook, HookAttempt, HookDelivery, utcnow
from webapp.core.rules.events import EventName
from webapp.core.services import events, hooks
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway


class HookOffice:
    """A domain, its hooks, and things that happen to its mail."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.domain_id = make_domain(gateway)
        self.message_id = enqueue(gateway, due_at=utcnow() + timedelta(days=1))

    def hook(self, url: str, *names: str) -> tuple[int, str]:
        """Make a hook; return its id and secret."""
        with self.gateway.database.session() as session:
            hook, secret = hooks.create(
                session,
                COMMAND_LINE,
                self.gateway.vault,
                domain=session.get_one(Domain, self.domain_id),
                name="Orders",
                target_url=url,
                events=names or list(EventName),
            )
            session.flush()
            return hook.id, secret

    def happen(self, count: int = 1, name: EventName = EventName.DELIVERED) -> None:
        """Let something happen to so many recipients."""
        told = [
            events.Happened(name, self.domain_id, self.message_id, f"r{n}@example.org", smtp_code=250)
            for n in range(count)
        ]
        with self.gateway.database.session() as session:
            events.happened(session, told, utcnow())

    def state(self, hook_id: int) -> Hook:
        """The hook as it stands."""
        with self.gateway.database.session() as session:
            return session.get_one(Hook, hook_id)

    def deliveries(self, hook_id: int | None = None) -> list[HookDelivery]:
        """What hooks are told, in order."""
        with self.gateway.database.session() as session:
            query = session.query(HookDelivery).order_by(HookDelivery.id)
            return list(query.filter_by(hook_id=hook_id) if hook_id else query)

    def statuses(self, hook_id: int | None = None) -> list[str]:
        """Their states."""
        return [delivery.status for delivery in self.deliveries(hook_id)]

    def attempts(self) -> list[HookAttempt]:
        """The POSTs, in order."""
        with self.gateway.database.session() as session:
            return list(session.query(HookAttempt).order_by(HookAttempt.id))

    def change(self, work: Callable[..., Any], row: Any, **values: Any) -> Any:
        """Call a service with a row, as the panel does."""
        with self.gateway.database.session() as session:
            return work(session, COMMAND_LINE, session.merge(row), **values)


@pytest.fixture
def make_office(make_app: Callable[..., Flask]) -> Callable[..., HookOffice]:
    """Offices; keyword arguments are settings."""

    def make(**settings: Any) -> HookOffice:
        values = {"allow_private_webhooks": True, "retry_first": "0.02s"} | settings
        return HookOffice(gateway_of(make_app(**values)))

    return make


@pytest.fixture
def office(make_office: Callable[..., HookOffice]) -> HookOffice:
    """An office whose hooks may be on loopback, and whose first retry comes after 20 ms."""
    return make_office()


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    """A receiver."""
    with HookReceiver() as receiver:
        yield receiver


def dispatching(gateway: Gateway) -> AbstractContextManager[None]:
    """Run the dispatcher in the background while the block runs."""
    return running(Dispatcher(gateway).run)
