"""The bell, the page behind it, and the setting of the digest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from tests.admin.conftest import Browser
from tests.support.factories import make_api_key, make_domain
from webapp import gateway_of
from webapp.core.models import CredentialRow, utcnow
from webapp.core.services import alerts
from webapp.core.services.gateway import Gateway


@pytest.fixture
def gateway(panel_app: Flask) -> Gateway:
    """The panel's services."""
    return gateway_of(panel_app)


def ring(gateway: Gateway, text: str = "192.0.2.1 was locked.") -> None:
    with gateway.database.session() as session:
        alerts.happened(session, "lockout", text, text, utcnow())


def test_the_bell_counts_until_the_page_was_seen(gateway: Gateway, logged_in: Callable[[str], Browser]) -> None:
    viewer, owner = logged_in("viewer"), logged_in("owner")
    assert "unread" not in viewer.get("/admin/").text
    ring(gateway)
    ring(gateway, "192.0.2.2 was locked.")
    assert "Alerts: 2 unread" in viewer.get("/admin/").text
    page = viewer.get("/admin/alerts/").text
    assert "192.0.2.1 was locked." in page
    assert page.count("alert-unread") == 2
    assert "unread" not in viewer.get("/admin/").text
    assert "Alerts: 2 unread" in owner.get("/admin/").text


def test_an_alert_leads_to_what_it_is_about(gateway: Gateway, logged_in: Callable[[str], Browser]) -> None:
    domain_id, now = make_domain(gateway), utcnow()
    key_id, _ = make_api_key(gateway)
    with gateway.database.session() as session:
        key = session.get_one(CredentialRow, key_id)
        alerts.happened(session, "new_network", f"api_key {key.name}", "a", now, domain_id=domain_id)
        alerts.holds(session, "expiry", str(key_id), "b", now, domain_id=domain_id)
        alerts.holds(session, "domain", "example.com", "c", now, domain_id=domain_id)
        alerts.holds(session, "webhook", "7", "d", now, domain_id=domain_id)
        alerts.holds(session, "certificate", "TLS", "e", now)
        name = key.name
    page = logged_in("owner").get("/admin/alerts/").text
    assert page.count(f'href="/admin/api-keys/?search={name}"') == 2
    for path in (f"domains/{domain_id}/", "webhooks/7/", "settings/server"):
        assert f'href="/admin/{path}"' in page
    assert "/admin/settings/" not in logged_in("viewer").get("/admin/alerts/").text


def test_text_from_outside_is_only_text(gateway: Gateway, owner: Browser) -> None:
    ring(gateway, "The client <script>alert(1)</script>")
    assert "<script>alert" not in owner.get("/admin/alerts/").text


def test_the_sender_must_be_at_one_of_our_domains(gateway: Gateway, owner: Browser) -> None:
    make_domain(gateway)
    owner.get("/admin/settings/")
    refused = owner.post("/admin/settings/notifications", {"alerts_sender": "alerts@elsewhere.org"})
    assert refused.status_code == 422
    assert "alerts@example.com" in refused.text
    assert owner.post("/admin/settings/notifications", {"alerts_sender": "bell@example.com"}).status_code == 303
    assert 'value="bell@example.com"' in owner.get("/admin/settings/notifications").text
    assert owner.post("/admin/settings/notifications", {"alerts_sender": ""}).status_code == 303
    with gateway.database.session() as session:
        assert gateway.preferences.read(session).alerts_sender is None


def test_only_owners_choose_it(logged_in: Callable[[str], Browser]) -> None:
    manager = logged_in("manager")
    assert manager.post("/admin/settings/notifications", {"alerts_sender": ""}).status_code == 403
