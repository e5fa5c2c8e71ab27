"""The lock's dialog: what it says, refuses, warns about and saves."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from sqlalchemy import update
from werkzeug.test import TestResponse

from tests.admin.conftest import Browser
from tests.support.factories import make_api_key, make_domain, make_smtp_user
from webapp import gateway_of
from webapp.core.models import CredentialRow

FETCH = {"X-Requested-With": "fetch"}


@pytest.fixture(params=["smtp-users", "api-keys"])
def dialog(request: pytest.FixtureRequest, owner: Browser, panel_app: Flask) -> str:
    """The dialog's address, of either kind of credential, both last used from 192.0.2.10."""
    gateway = gateway_of(panel_app)
    make_domain(gateway)
    row_id = make_smtp_user(gateway) if request.param == "smtp-users" else make_api_key(gateway)[0]
    with gateway.database.session() as session:
        session.execute(update(CredentialRow).values(last_used_ip="192.0.2.10"))
    return f"/admin/{request.param}/allowed/?id={row_id}"


def networks(browser: Browser) -> list[str]:
    with gateway_of(browser.app).database.session() as session:
        return session.get_one(CredentialRow, 1).allowed_networks


def send(browser: Browser, dialog: str, text: str, **more: str) -> TestResponse:
    browser.get(dialog, headers=FETCH)
    return browser.post(dialog, {"allowed_networks": text} | more, headers=FETCH)


def test_it_shows_ones_own_address_and_what_will_happen(owner: Browser, dialog: str) -> None:
    text = owner.get(dialog, headers=FETCH).get_data(as_text=True)
    assert "<html" not in text
    assert "127.0.0.1" in text
    assert "Make, Zapier" in text
    assert "everybody else is refused" in text


def test_it_saves_lines_and_commas_and_the_list_shows_a_closed_lock(owner: Browser, dialog: str) -> None:
    answer = send(owner, dialog, "192.0.2.0/24, 2001:db8::/48\n198.51.100.7")
    assert answer.get_json() == {"reload": True}
    assert networks(owner) == ["192.0.2.0/24", "2001:db8::/48", "198.51.100.7/32"]
    listed = owner.get(dialog.split("allowed", maxsplit=1)[0]).get_data(as_text=True)
    assert "3 ranges" in listed
    assert send(owner, dialog, "").get_json() == {"reload": True}
    assert networks(owner) == []
    assert "any address" in owner.get(dialog.split("allowed", maxsplit=1)[0]).get_data(as_text=True)


def test_it_refuses_nonsense_and_names_the_line(owner: Browser, dialog: str) -> None:
    answer = send(owner, dialog, "192.0.2.0/24\nmy office")
    assert answer.status_code == 422
    assert "Line 2: my is not an IP address or range" in answer.get_data(as_text=True)
    assert networks(owner) == []


def test_it_adds_ones_own_address_without_saving(owner: Browser, dialog: str) -> None:
    text = send(owner, dialog, "192.0.2.0/24", add_mine="1").get_data(as_text=True)
    assert re.search(r">\s*192.0.2.0/24\s+127.0.0.1</textarea>", text)
    assert networks(owner) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.0.0.0/0", "every address there is"),
        ("192.0.2.10\n::/0", "every address there is"),
        ("198.51.100.0/24", "last used from 192.0.2.10, which would be shut out"),
    ],
)
def test_it_warns_and_saves_only_what_was_warned_about(owner: Browser, dialog: str, text: str, said: str) -> None:
    first = send(owner, dialog, text)
    page = first.get_data(as_text=True)
    assert first.status_code == 422
    assert said in page
    warned = re.search(r'name="warned"[^>]*value="([^"]*)"', page)[1]
    without_consent = send(owner, dialog, text, warned=warned)
    assert without_consent.status_code == 422
    another_list = send(owner, dialog, "203.0.113.0/24", warned=warned, anyway="y")
    assert another_list.status_code == 422
    assert networks(owner) == []
    assert send(owner, dialog, text, warned=warned, anyway="y").status_code == 200
    assert len(networks(owner)) == len(text.split())
