"""Holding, releasing, sending again: one message, those chosen, and all that a filter finds."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select

from tests.admin.conftest import Browser
from tests.admin.mailroom import send, settle
from tests.support.factories import source
from webapp import gateway_of
from webapp.core.models import AuditEntry, Message
from webapp.core.rules.statuses import Status
from webapp.core.services.gateway import Gateway

LIST = "/admin/messages/"
LATER = (Status.DEFERRED, 451, "4.2.1 Busy")


@pytest.fixture
def gateway(relaying: Flask) -> Gateway:
    """Its services."""
    return gateway_of(relaying)


@pytest.fixture
def manager(relaying: Flask) -> Browser:
    """A logged-in manager."""
    browser = Browser(relaying)
    browser.log_in("manager@example.com")
    return browser


def state(gateway: Gateway, *message_ids: str) -> list[str]:
    with gateway.database.session() as session:
        return [session.get_one(Message, id_).status for id_ in message_ids]


def audited(gateway: Gateway) -> list[tuple[str, dict]]:
    with gateway.database.session() as session:
        query = select(AuditEntry).where(AuditEntry.object_type == "message").order_by(AuditEntry.id)
        return [(entry.action, entry.changes) for entry in session.scalars(query)]


def test_one_is_held_and_released(manager: Browser, gateway: Gateway) -> None:
    message_id = send(gateway)
    page = manager.get(f"{LIST}{message_id}/").text
    assert f"{message_id}/hold" in page
    assert f"{message_id}/release" not in page
    manager.post(f"{LIST}{message_id}/hold")
    assert state(gateway, message_id) == ["held"]
    page = manager.get(f"{LIST}{message_id}/").text
    assert "Held: 1 recipient until you release it." in page
    assert f"{message_id}/release" in page
    manager.post(f"{LIST}{message_id}/release")
    assert state(gateway, message_id) == ["queued"]
    assert audited(gateway) == [("hold", {"recipients": 1}), ("release", {"recipients": 1})]


def test_a_copy_is_sent_and_shown(manager: Browser, gateway: Gateway) -> None:
    message_id = send(gateway, "ann@example.org", "bob@example.org")
    assert f"{message_id}/again" not in manager.get(f"{LIST}{message_id}/").text
    settle(gateway, bob=(Status.BOUNCED, 550, "5.7.1 Blocked"))
    assert "1 recipient who didn" in manager.get(f"{LIST}{message_id}/").text
    answer = manager.post(f"{LIST}{message_id}/again")
    copy = answer.location.rstrip("/").rpartition("/")[2]
    assert copy != message_id
    page = manager.get(answer.location).text
    assert "bob@" in page
    assert "ann@" not in page
    assert state(gateway, message_id, copy) == ["bounced", "queued"]
    assert audited(gateway) == [("send_again", {"copy": copy})]
    assert manager.post(f"{LIST}{copy}/again").status_code == 303
    assert "still on its way" in manager.get(f"{LIST}{copy}/").text


def test_captured_mail_can_be_sent_for_real(manager: Browser, gateway: Gateway) -> None:
    message_id = send(gateway)
    with gateway.database.session() as session:
        session.get_one(Message, message_id).captured = True
    settle(gateway, ann=(Status.CAPTURED, 0, ""))
    copy = manager.post(f"{LIST}{message_id}/again").location.rstrip("/").rpartition("/")[2]
    with gateway.database.session() as session:
        assert session.get_one(Message, copy).captured is False


def test_chosen_ones_and_all_that_match(manager: Browser, gateway: Gateway) -> None:
    orders = [send(gateway, source=source(extra=f"X-Number: {n}\r\n")) for n in range(3)]
    other = send(gateway, "zoe@example.org", source=source().replace(b"Your order", b"Invoice"))
    manager.get(LIST)
    manager.post(LIST + "action/", {"action": "hold", "rowid": [orders[0]]})
    assert state(gateway, *orders, other) == ["held", "queued", "queued", "queued"]
    page = manager.get(LIST + "?search=order").text
    assert "/all/cancel?search=order" in page
    answer = manager.post(LIST + "all/cancel?search=order")
    assert answer.location.endswith("?search=order")
    assert state(gateway, *orders, other) == ["cancelled", "cancelled", "cancelled", "queued"]
    assert ("cancel", {"recipients": 3, "messages": 3}) in audited(gateway)
    manager.post(LIST + "all/hold?flt0_recipient_contains=zoe")
    assert state(gateway, other) == ["held"]


def test_everything_at_once_is_not_on_offer(manager: Browser, gateway: Gateway) -> None:
    message_id = send(gateway)
    assert "/all/cancel" not in manager.get(LIST).text
    assert manager.post(LIST + "all/cancel").status_code == 404
    assert manager.post(LIST + "all/again?search=order").status_code == 404
    assert state(gateway, message_id) == ["queued"]


def test_another_domain_s_mail_is_left_alone(manager: Browser, gateway: Gateway) -> None:
    mine, other = send(gateway), send(gateway, domain="example.net")
    manager.get(LIST)
    manager.post(LIST + "all/cancel?search=order&domain=example.net")
    assert state(gateway, mine, other) == ["queued", "cancelled"]


def test_a_viewer_only_looks(relaying: Flask, gateway: Gateway) -> None:
    message_id = send(gateway)
    viewer = Browser(relaying)
    viewer.log_in("viewer@example.com")
    page = viewer.get(f"{LIST}{message_id}/").text
    assert "/hold" not in page
    assert "/all/" not in viewer.get(LIST + "?search=order").text
    for path in (f"{message_id}/hold", f"{message_id}/again", "all/cancel?search=order"):
        assert viewer.post(LIST + path).status_code == 403
    assert state(gateway, message_id) == ["queued"]
