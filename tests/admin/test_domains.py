"""Sending domains in the panel."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select

from tests.admin.conftest import Browser
from tests.support.factories import make_api_key, make_domain, make_smtp_user
from webapp import gateway_of
from webapp.core.models import DkimKey, Domain


def domain(browser: Browser, name: str) -> Domain:
    with gateway_of(browser.app).database.session() as session:
        return session.scalars(select(Domain).where(Domain.name == name)).one()


def test_adding_one_and_vouching_for_it(owner: Browser) -> None:
    assert "Add your first sending domain" in owner.get("/admin/domains/").get_data(as_text=True)
    owner.get("/admin/domains/new/")
    assert owner.post("/admin/domains/new/", {"name": "Example.ORG."}).status_code == 303
    listed = owner.get("/admin/domains/").get_data(as_text=True)
    assert "example.org was added" in listed
    assert "Not checked yet" in listed
    assert "No matter while mail is only captured" in listed
    owner.post("/admin/domains/1/vouch")
    assert domain(owner, "example.org").vouched_by == "owner@example.com"
    assert "owner@example.com vouches for it" in owner.get("/admin/domains/").get_data(as_text=True)
    owner.post("/admin/domains/1/withdraw")
    assert domain(owner, "example.org").vouched_at is None
    owner.post("/admin/domains/new/", {"name": "example.net", "vouch": "y"})
    assert domain(owner, "example.net").vouched_at


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "Type the domain"),
        ("nodot", "not a domain name"),
        ("me@example.org", "leave out"),
        ("example.com", "already"),
    ],
)
def test_a_wrong_name_is_refused_at_its_field(owner: Browser, name: str, said: str) -> None:
    make_domain(gateway_of(owner.app))
    owner.get("/admin/domains/new/")
    answer = owner.post("/admin/domains/new/", {"name": name})
    assert answer.status_code == 422
    assert said in answer.get_data(as_text=True)


def test_while_mail_leaves_an_unverified_domain_is_said_to_be_refused(make_panel: Callable[..., Flask]) -> None:
    app = make_panel(delivery="relay", relay_url="smtp://relay.example")
    make_domain(gateway_of(app))
    browser = Browser(app)
    browser.log_in("owner@example.com")
    assert "refused until the ownership record is found" in browser.get("/admin/domains/").get_data(as_text=True)


def test_the_record_to_publish(owner: Browser) -> None:
    make_domain(gateway_of(owner.app))
    page = owner.get("/admin/domains/1/").get_data(as_text=True)
    assert "_postlatch.example.com" in page
    assert domain(owner, "example.com").ownership_token in page


def test_one_with_live_credentials_stays_and_the_message_lists_them(owner: Browser) -> None:
    gateway = gateway_of(owner.app)
    make_domain(gateway)
    make_smtp_user(gateway)
    key_id, _ = make_api_key(gateway)
    owner.get("/admin/domains/")
    owner.post("/admin/domains/delete/", {"id": "1"})
    page = owner.get("/admin/domains/").get_data(as_text=True)
    assert "example.com still has credentials" in page
    assert "printer@example.com" in page
    assert domain(owner, "example.com").deleted_at is None
    owner.post("/admin/smtp-users/delete/", {"id": "1"})
    owner.post("/admin/api-keys/delete/", {"id": str(key_id)})
    answer = owner.post("/admin/domains/delete/?domain=example.com", {"id": "1"})
    assert answer.headers["Location"] == "/admin/domains/"  # the chosen domain is gone
    assert domain(owner, "example.com").deleted_at
    assert "example.com was deleted" in owner.get("/admin/domains/").get_data(as_text=True)


def keys(browser: Browser) -> list[DkimKey]:
    with gateway_of(browser.app).database.session() as session:
        return list(session.scalars(select(DkimKey).order_by(DkimKey.id)))


def test_keys_are_added_used_replaced_and_retired(owner: Browser) -> None:
    owner.get("/admin/domains/new/")
    owner.post("/admin/domains/new/", {"name": "example.com"})
    (rsa,) = keys(owner)
    page = "/admin/domains/1/"
    assert rsa.selector in owner.get(page).get_data(as_text=True)
    owner.post(f"{page}keys/use", {"key": str(rsa.id)})
    owner.post(f"{page}keys/new", {"algorithm": "ed25519"})
    assert [(key.algorithm, key.signs) for key in keys(owner)] == [("rsa", True), ("ed25519", False)]
    owner.post(f"{page}keys/new", {"algorithm": "ed25519"})
    assert "waits for its record already" in owner.get(page).get_data(as_text=True)
    owner.post(f"{page}keys/retire", {"key": str(rsa.id)})
    assert "This key signs the domain" in owner.get(page).get_data(as_text=True)
    ed25519 = keys(owner)[1].id
    owner.post(f"{page}keys/use", {"key": str(ed25519)})
    owner.post(f"{page}keys/retire", {"key": str(ed25519)})
    assert keys(owner)[1].replaced_at
    assert "Leave its record there until" in owner.get(page).get_data(as_text=True)
    owner.post(f"{page}keys/retire", {"key": str(ed25519)})
    assert keys(owner)[1].retired_at
    assert keys(owner)[1].selector not in owner.get(page).get_data(as_text=True).partition("was")[2]
    assert owner.post(f"{page}keys/retire", {"key": str(ed25519)}).status_code == 404
    owner.post(f"{page}keys/new", {"algorithm": "dsa"})
    assert "Choose RSA or Ed25519" in owner.get(page).get_data(as_text=True)


def test_no_private_key_is_shown_or_logged_or_stored_in_the_clear(owner: Browser) -> None:
    owner.get("/admin/domains/new/")
    owner.post("/admin/domains/new/", {"name": "example.com"})
    assert "PRIVATE" not in keys(owner)[0].private_key
    assert keys(owner)[0].private_key not in owner.get("/admin/domains/1/").get_data(as_text=True)


def test_a_viewer_sees_the_records_and_no_button(logged_in: Callable[[str], Browser]) -> None:
    viewer = logged_in("viewer")
    make_domain(gateway_of(viewer.app))
    page = viewer.get("/admin/domains/1/").get_data(as_text=True)
    assert "_postlatch.example.com" in page
    assert page.count("<form") == 1, "only the one to log out"
    assert viewer.get("/admin/domains/2/").status_code == 404
