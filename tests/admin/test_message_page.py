"""The page about one message: what became of it, and what may be done about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import delete, select

from tests.admin.conftest import Browser
from tests.admin.mailroom import rows, send, settle
from tests.support.factories import source
from webapp import gateway_of
from webapp.core.models import AuditEntry, Delivery, Message, MessageSource, utcnow
from webapp.core.rules.statuses import Status
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway

LATER = (Status.DEFERRED, 451, "4.2.1 Mailbox busy <b>now</b>")


@pytest.fixture
def gateway(relaying: Flask) -> Gateway:
    """Its services."""
    return gateway_of(relaying)


@pytest.fixture
def person(relaying: Flask) -> Callable[[str], Browser]:
    """``person("viewer")``, logged in."""

    def make(role: str) -> Browser:
        browser = Browser(relaying)
        assert browser.log_in(f"{role}@example.com").status_code == 303
        return browser

    return make


def page_of(browser: Browser, message_id: str, query: str = "") -> str:
    answer = browser.get(f"/admin/messages/{message_id}/{query}")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def statuses(gateway: Gateway, message_id: str) -> list[str]:
    with gateway.database.session() as session:
        return list(
            session.scalars(select(Delivery.status).where(Delivery.message_id == message_id).order_by(Delivery.id))
        )


def audited(gateway: Gateway, action: str) -> list[AuditEntry]:
    with gateway.database.session() as session:
        return list(session.scalars(select(AuditEntry).where(AuditEntry.action == action)))


def test_it_says_all_that_is_known(person: Callable[[str], Browser], gateway: Gateway) -> None:
    message_id = send(
        gateway,
        "ann@example.org",
        "bob@example.org",
        envelope_from="returns@example.com",
        source=source(extra="Message-ID: <one@shop>\r\n"),
        tag="order",
        metadata={"order": "<i>4711</i>"},
    )
    settle(gateway, bob=LATER)
    page = page_of(person("viewer"), message_id)
    for part in (
        "Shop &lt;shop@example.com&gt;",
        "returns@example.com",
        "printer@example.com",
        "SMTP",
        "192.0.2.10",
        "printer.example.com",
        "order",
        "&lt;i&gt;4711&lt;/i&gt;",
        "&lt;one@shop&gt;",
        "relay.example:587",
        "TLSv1.3",
    ):
        assert part in page, part
    ann, bob = [row for row in rows(page) if "@example.org" in row][:2]
    assert "Delivered" in ann
    assert "250 2.0.0 Ok" in ann
    assert "Deferred" in bob
    assert "451 4.2.1 Mailbox busy &lt;b&gt;now&lt;/b&gt;" in bob
    assert "UTC" in bob, "when it is tried next"


def test_captured_mail_says_that_nothing_left(owner: Browser, panel_app: Flask) -> None:
    message_id = send(gateway_of(panel_app))
    settle(gateway_of(panel_app), ann=(Status.CAPTURED, 0, "Captured"))
    page = page_of(owner, message_id)
    assert "Captured: nothing left this server." in page
    assert "Try again now" not in page


def test_a_busy_page_looks_for_news_and_a_quiet_one_does_not(
    person: Callable[[str], Browser], gateway: Gateway
) -> None:
    viewer, message_id = person("viewer"), send(gateway)
    progress = f"/admin/messages/{message_id}/progress"
    assert f'data-poll-url="{progress}"' in page_of(viewer, message_id)
    assert "data-poll-done" not in viewer.get(progress).get_data(as_text=True)
    assert 'data-poll-again="3"' in viewer.get(progress).get_data(as_text=True)
    settle(gateway, ann=(Status.DEFERRED, 451, "4.7.1 Later"))
    assert 'data-poll-seconds="15"' in page_of(viewer, message_id)
    assert 'data-poll-again="15"' in viewer.get(progress).get_data(as_text=True)

    message_id = send(gateway)
    progress = f"/admin/messages/{message_id}/progress"
    settle(gateway)
    assert "data-poll-url" not in page_of(viewer, message_id)
    fragment = viewer.get(progress).get_data(as_text=True)
    assert "data-poll-done" in fragment
    assert "Delivered" in fragment
    assert "<html" not in fragment


def test_many_recipients_are_paged(person: Callable[[str], Browser], gateway: Gateway) -> None:
    viewer = person("viewer")
    message_id = send(gateway, *[f"person{n}@example.org" for n in range(120)])
    first = page_of(viewer, message_id)
    assert "120 recipients" in first
    assert "person49@" in first
    assert "person50@" not in first
    assert "person119@" in page_of(viewer, message_id, "?recipients=2")
    for query in ("?recipients=-5", "?recipients=99999999999999999999", "?recipients=x", "?show=nonsense"):
        page_of(viewer, message_id, query)


@pytest.mark.parametrize("role", ["manager", "owner"])
def test_what_waits_is_tried_again_at_once(person: Callable[[str], Browser], gateway: Gateway, role: str) -> None:
    browser, message_id = person(role), send(gateway)
    settle(gateway, ann=LATER)
    assert "Try again now" in page_of(browser, message_id)
    answer = browser.post(f"/admin/messages/{message_id}/retry")
    assert answer.status_code == 303
    with gateway.database.session() as session:
        (delivery,) = session.scalars(select(Delivery))
        assert delivery.due_at is not None
        assert delivery.due_at <= utcnow()
    (entry,) = audited(gateway, "retry")
    assert (entry.actor, entry.label, entry.changes) == (f"{role}@example.com", message_id, {"recipients": 1})
    assert "Trying again now: 1 recipient." in page_of(browser, message_id)


def test_cancelling_spares_those_who_wait(person: Callable[[str], Browser], gateway: Gateway) -> None:
    browser, message_id = person("manager"), send(gateway, "ann@example.org", "bob@example.org")
    settle(gateway, bob=LATER)
    page_of(browser, message_id)
    assert browser.post(f"/admin/messages/{message_id}/cancel").status_code == 303
    assert statuses(gateway, message_id) == [Status.DELIVERED, Status.CANCELLED]
    assert [entry.changes for entry in audited(gateway, "cancel")] == [{"recipients": 1}]
    page = page_of(browser, message_id)
    assert "Cancelled: 1 recipient will not get it." in page
    assert "Try again now" not in page
    browser.post(f"/admin/messages/{message_id}/cancel")
    assert "Nothing of this was waiting any more." in page_of(browser, message_id)
    assert len(audited(gateway, "cancel")) == 1


def test_scheduled_mail_can_be_cancelled(person: Callable[[str], Browser], gateway: Gateway) -> None:
    browser, message_id = person("owner"), send(gateway, send_at=utcnow() + timedelta(days=1))
    assert "To be sent" in page_of(browser, message_id)
    browser.post(f"/admin/messages/{message_id}/cancel")
    assert statuses(gateway, message_id) == [Status.CANCELLED]


@pytest.mark.parametrize("action", ["retry", "cancel"])
def test_a_viewer_only_looks(person: Callable[[str], Browser], gateway: Gateway, action: str) -> None:
    viewer, message_id = person("viewer"), send(gateway)
    settle(gateway, ann=LATER)
    page = page_of(viewer, message_id)
    assert "/retry" not in page
    assert "/cancel" not in page
    assert viewer.post(f"/admin/messages/{message_id}/{action}").status_code == 403
    assert statuses(gateway, message_id) == [Status.DEFERRED]


@pytest.mark.parametrize("action", ["retry", "cancel"])
def test_changes_need_a_token_and_a_post(person: Callable[[str], Browser], gateway: Gateway, action: str) -> None:
    owner, message_id = person("owner"), send(gateway)
    settle(gateway, ann=LATER)
    path = f"/admin/messages/{message_id}/{action}"
    assert owner.post(path, token=False).status_code == 400
    assert owner.get(path).status_code == 405
    assert statuses(gateway, message_id) == [Status.DEFERRED]


@pytest.mark.parametrize("path", ["", "progress", "body", "source", "attachments/0", "attachments/x"])
def test_unknown_messages_are_not_there(owner: Browser, path: str) -> None:
    assert owner.get(f"/admin/messages/msg_unknown/{path}").status_code == 404


def test_a_message_of_another_domain_can_not_be_changed(person: Callable[[str], Browser], gateway: Gateway) -> None:
    owner, message_id = person("owner"), send(gateway)
    send(gateway, domain="example.net")
    owner.get("/admin/messages/")
    assert owner.post(f"/admin/messages/{message_id}/cancel?domain=example.net").status_code == 404
    assert statuses(gateway, message_id) == [Status.QUEUED]


def test_a_message_whose_content_is_gone_still_tells_its_story(
    person: Callable[[str], Browser], gateway: Gateway
) -> None:
    viewer, message_id = person("viewer"), send(gateway)
    with gateway.database.session() as session:
        session.execute(delete(MessageSource))
    page = page_of(viewer, message_id)
    assert "no longer kept" in page
    assert any("ann@example.org" in row for row in rows(page))
    assert viewer.get(f"/admin/messages/{message_id}/source").status_code == 404


def test_a_message_without_a_credential_is_shown(person: Callable[[str], Browser], gateway: Gateway) -> None:
    viewer, message_id = person("viewer"), send(gateway)
    with gateway.database.session() as session:
        session.get_one(Message, message_id).credential_id = None
    page_of(viewer, message_id)
    assert viewer.get("/admin/messages/").status_code == 200


def test_the_audit_log_names_the_message(person: Callable[[str], Browser], gateway: Gateway) -> None:
    owner, message_id = person("owner"), send(gateway)
    page_of(owner, message_id)
    owner.post(f"/admin/messages/{message_id}/cancel")
    assert any(
        f"cancelled message {message_id}" in row for row in rows(owner.get("/admin/audit/").get_data(as_text=True))
    )
    assert COMMAND_LINE.name in owner.get("/admin/audit/").get_data(as_text=True)
