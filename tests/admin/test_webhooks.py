"""Webhooks in the panel: adding one, its page and log, and who may do what."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from tests.admin.conftest import Browser
from tests.support.factories import make_domain
from webapp import gateway_of
from webapp.core.models import Alert, AuditEntry, Hook, HookDelivery, utcnow
from webapp.core.rules.events import EventName
from webapp.core.services import hooks

URL = "https://hooks.example.net/catch/s3cret"
FORM = {"name": "Bounces", "target_url": URL, "choice": "final"}


@pytest.fixture
def panel_app(panel_app: Flask) -> Flask:
    make_domain(gateway_of(panel_app))
    return panel_app


def add(browser: Browser, **fields: object) -> str:
    browser.get("/admin/webhooks/new/")
    answer = browser.post("/admin/webhooks/new/", FORM | {"once": "x"} | fields)
    return answer.get_data(as_text=True)


def stored(browser: Browser) -> Hook:
    with gateway_of(browser.app).database.session() as session:
        return session.query(Hook).one()


def test_adding_one_shows_its_secret_once(logged_in: Callable[[str], Browser]) -> None:
    manager = logged_in("manager")
    page = add(manager)

    (secret,) = set(re.findall(r"whsec_[A-Za-z0-9+/=]+", page))
    hook = stored(manager)
    assert (hook.name, hook.target_url, hook.events) == ("Bounces", URL, ["delivered", "bounced", "failed"])
    assert gateway_of(manager.app).vault.decrypt(hook.secret) == secret
    for path in ("/admin/webhooks/", f"/admin/webhooks/{hook.id}/", f"/admin/webhooks/edit/?id={hook.id}"):
        shown = manager.get(path)
        assert shown.status_code == 200, path
        assert secret not in shown.get_data(as_text=True)
    with gateway_of(manager.app).database.session() as session:
        changes = str([entry.changes for entry in session.query(AuditEntry)])
    assert secret not in changes
    assert "s3cret" not in changes


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"target_url": "http://hooks.example.net/"}, "must start with https://"),
        ({"target_url": "https://10.0.0.1/"}, "not on the public internet"),
        ({"target_url": ""}, "Paste its address."),
        ({"name": ""}, "Give it a name."),
        ({"choice": "some"}, "Choose at least one event."),
    ],
)
def test_what_can_t_be_is_said_at_its_field(owner: Browser, fields: dict[str, str], said: str) -> None:
    assert said in add(owner, **fields)


def test_events_of_one_s_own_choice_and_changing_them(owner: Browser) -> None:
    add(owner, choice="some", events=["credential_locked", "accepted"])
    hook = stored(owner)
    assert hook.events == ["accepted", "credential_locked"]

    page = owner.get(f"/admin/webhooks/edit/?id={hook.id}").get_data(as_text=True)
    assert re.search(r'value="some"[^>]*checked|checked[^>]*value="some"', page)
    owner.post(f"/admin/webhooks/edit/?id={hook.id}", FORM | {"name": "All", "choice": "all", "target_url": URL + "2"})

    hook = stored(owner)
    assert (hook.name, hook.events, hook.target_url) == ("All", list(EventName), URL + "2")
    with gateway_of(owner.app).database.session() as session:
        entry = session.query(AuditEntry).filter_by(object_type="hook", action="change").one()
    assert entry.changes["address"] == "(secret)"


def test_pausing_resuming_testing_rotating_and_deleting(owner: Browser) -> None:
    add(owner)
    hook = stored(owner)
    page = f"/admin/webhooks/{hook.id}"
    owner.post(f"{page}/pause")
    shown = owner.get(f"{page}/").get_data(as_text=True)
    assert "Paused since" in shown
    assert "owner@example.com paused it" in shown
    owner.post(f"{page}/test")
    with gateway_of(owner.app).database.session() as session:
        delivery = session.query(HookDelivery).one()
        assert (delivery.by_hand, delivery.sample["event"]) == (True, "delivered")
    assert "data-poll-url" in owner.get(f"{page}/").get_data(as_text=True)
    assert "a test" in owner.get(f"{page}/progress").get_data(as_text=True)
    owner.post(f"{page}/resume")
    assert stored(owner).state == "active"
    owner.get(f"/admin/webhooks/rotate/?id={hook.id}")
    rotated = owner.post(f"/admin/webhooks/rotate/?id={hook.id}", {"grace": "24", "once": "y"}).get_data(as_text=True)
    assert "both secrets sign" in rotated
    assert stored(owner).old_secret == hook.secret
    assert owner.post("/admin/webhooks/delete/", {"id": str(hook.id)}).status_code == 303
    assert owner.get(f"{page}/").status_code == 404
    assert "No webhook yet" in owner.get("/admin/webhooks/").get_data(as_text=True)


def test_a_hook_that_stopped_by_itself_rings_until_it_is_resumed(owner: Browser) -> None:
    add(owner)
    hook = stored(owner)
    gateway = gateway_of(owner.app)
    with gateway.database.session() as session:
        hooks.stop(session, [hook.id], state="paused", reason="it answered 500", now=utcnow())

    assert "because it answered 500" in owner.get(f"/admin/webhooks/{hook.id}/").get_data(as_text=True)
    with gateway.database.session() as session:
        alert = session.query(Alert).filter_by(kind="webhook").one()
        assert (alert.ended_at, "Bounces" in alert.text) == (None, True)
    owner.post(f"/admin/webhooks/{hook.id}/resume")
    with gateway.database.session() as session:
        assert session.query(Alert).filter_by(kind="webhook").one().ended_at


def test_a_viewer_looks_and_sees_no_address(owner: Browser, logged_in: Callable[[str], Browser]) -> None:
    add(owner)
    hook, viewer = stored(owner), logged_in("viewer")

    for path in ("/admin/webhooks/", f"/admin/webhooks/{hook.id}/"):
        shown = viewer.get(path).get_data(as_text=True)
        assert "hooks.example.net" in shown
        assert "s3cret" not in shown
        assert "Delete" not in shown
    assert viewer.get(f"/admin/webhooks/edit/?id={hook.id}").status_code == 403
    assert viewer.get(f"/admin/webhooks/rotate/?id={hook.id}").status_code == 403
    for what in ("pause", "resume", "test"):
        assert viewer.post(f"/admin/webhooks/{hook.id}/{what}").status_code == 403


def test_another_domain_s_hook_is_not_on_this_one_s_page(owner: Browser) -> None:
    add(owner)
    make_domain(gateway_of(owner.app), "example.org")
    hook = stored(owner)

    assert owner.get(f"/admin/webhooks/{hook.id}/?domain=example.org").status_code == 404
    assert owner.get(f"/admin/webhooks/{hook.id}/?domain=example.com").status_code == 200
    assert "No webhook yet" in owner.get("/admin/webhooks/?domain=example.org").get_data(as_text=True)
