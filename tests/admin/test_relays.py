"""Relays of single domains, and the test of a relay: who may, what is kept, what is asked of the worker."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select

from tests.admin.conftest import Browser
from tests.support.factories import make_domain
from webapp import gateway_of
from webapp.core.models import AuditEntry, DomainRelay, Task
from webapp.core.rules.relay import RelayTarget
from webapp.core.services.gateway import Gateway

RELAY = {
    "host": "smtp.provider.example",
    "port": "587",
    "security": "starttls",
    "username": "bakery",
    "password": "s3cret-Relay/pass@word",
}


@pytest.fixture
def gateway(panel_app: Flask) -> Gateway:
    return gateway_of(panel_app)


@pytest.fixture
def domain_id(gateway: Gateway) -> int:
    return make_domain(gateway, "bakery.example", vouch=True)


def stored(gateway: Gateway, domain_id: int) -> RelayTarget | None:
    with gateway.database.session() as session:
        return gateway.preferences.read(session).domain_relays.get(domain_id)


def save(owner: Browser, domain_id: int, **values: str) -> str:
    owner.get(f"/admin/relays/{domain_id}/")
    answer = owner.post(f"/admin/relays/{domain_id}/", RELAY | values)
    if answer.status_code == 303:
        answer = owner.get(answer.location)
    return answer.get_data(as_text=True)


def test_a_domains_relay_is_kept_encrypted_and_its_password_never_shown(
    owner: Browser, gateway: Gateway, domain_id: int
) -> None:
    page = save(owner, domain_id)

    assert "leaves through smtp.provider.example:587" in page
    assert "s3cret" not in page
    assert stored(gateway, domain_id) == RelayTarget(
        "smtp.provider.example", 587, "starttls", "bakery", RELAY["password"]
    )
    with gateway.database.session() as session:
        assert "s3cret" not in session.scalars(select(DomainRelay.url)).one()
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry
    assert entry.label == "bakery.example"
    assert "s3cret" not in str(entry.changes)


@pytest.mark.parametrize("changed", [{"host": "other.example"}, {"port": "465"}, {"username": "somebody"}])
def test_another_server_never_gets_the_stored_password(
    owner: Browser, gateway: Gateway, domain_id: int, changed: dict[str, str]
) -> None:
    save(owner, domain_id)
    assert "Type the password" in save(owner, domain_id, password="", **changed)
    save(owner, domain_id, password="", security="tls")
    kept = stored(gateway, domain_id)
    assert kept
    assert (kept.host, kept.security, kept.password) == ("smtp.provider.example", "tls", RELAY["password"])


def test_a_password_needs_encryption_except_on_this_machine(owner: Browser, gateway: Gateway, domain_id: int) -> None:
    assert "never goes out unencrypted" in save(owner, domain_id, security="opportunistic")
    assert stored(gateway, domain_id) is None
    save(owner, domain_id, security="opportunistic", host="127.0.0.1")
    assert stored(gateway, domain_id)


def test_it_goes_with_its_button_and_with_its_domain(owner: Browser, gateway: Gateway, domain_id: int) -> None:
    save(owner, domain_id)
    owner.post(f"/admin/relays/{domain_id}/remove")
    assert stored(gateway, domain_id) is None

    save(owner, domain_id)
    owner.get("/admin/domains/")
    owner.post("/admin/domains/delete/", {"id": str(domain_id)})
    assert stored(gateway, domain_id) is None
    assert owner.get(f"/admin/relays/{domain_id}/").status_code == 404


@pytest.mark.parametrize("role", ["manager", "viewer"])
def test_only_owners_see_and_change_relays(
    logged_in: Callable[[str], Browser], gateway: Gateway, domain_id: int, role: str
) -> None:
    browser = logged_in(role)
    assert browser.get(f"/admin/relays/{domain_id}/").status_code == 403
    for path in (f"/admin/relays/{domain_id}/", f"/admin/relays/{domain_id}/remove", "/admin/relays/test"):
        assert browser.post(path, RELAY).status_code == 403
    assert stored(gateway, domain_id) is None


def test_a_test_is_asked_of_the_worker(owner: Browser, gateway: Gateway, domain_id: int) -> None:
    save(owner, domain_id)
    answer = owner.post("/admin/relays/test", {"to": "ann@example.org", "domain_id": str(domain_id)})

    page = owner.get(answer.location).get_data(as_text=True)
    assert "Relay test" in page
    assert f'href="/admin/relays/{domain_id}/"' in page
    with gateway.database.session() as session:
        task = session.scalars(select(Task)).one()
    assert (task.kind, task.args) == ("relay_test", {"to": "ann@example.org", "domain_id": domain_id})


def test_a_test_needs_an_address(owner: Browser, gateway: Gateway, domain_id: int) -> None:
    owner.get("/admin/settings/")
    answer = owner.post("/admin/relays/test", {"to": "nobody"})
    assert "The test was not sent" in owner.get(answer.location).get_data(as_text=True)
    with gateway.database.session() as session:
        assert session.scalars(select(Task)).all() == []
