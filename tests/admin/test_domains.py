"""Sending domains in the panel."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select

from tests.admin.conftest import Browser
from tests.support.factories import make_api_key, make_domain, make_smtp_user
from webapp import gateway_of
from webapp.core.models import Domain


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
