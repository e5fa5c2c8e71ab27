"""Learn, then lock: addresses seen fill the list, and the list on screen says whom it would have refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from flask import Flask

from tests.admin.conftest import Browser
from tests.admin.mailroom import credential, send
from tests.support.browser import PHONE, Visit, on_sqlite
from webapp import gateway_of
from webapp.core.models import CredentialRow, CredentialUse, utcnow
from webapp.core.rules.submission import Peer
from webapp.core.services.gateway import Gateway

DIALOG, PREVIEW = "/admin/smtp-users/allowed/?id=1", "/admin/smtp-users/allowed-preview/?id=1"
FETCH = {"X-Requested-With": "fetch"}


def used(gateway: Gateway, ip: str, at: datetime | None = None, messages: int = 0) -> None:
    """The printer logged in from *ip*, and sent so many messages."""
    printer, at = credential(gateway), at or utcnow()
    with gateway.database.session() as session:
        session.add(
            CredentialUse(credential_id=printer.id, secret_id=1, ip=ip, client="x", first_used_at=at, last_used_at=at)
        )
    for _ in range(messages):
        send(gateway, peer=Peer("smtp", ip, "printer"))


@pytest.fixture
def gateway(panel_app: Flask) -> Gateway:
    """A printer that was used from three addresses lately, and from one long ago."""
    gateway = gateway_of(panel_app)
    used(gateway, "192.0.2.10", messages=3)
    used(gateway, "192.0.2.11", messages=1)
    used(gateway, "2001:db8::7", utcnow() - timedelta(days=3))
    used(gateway, "203.0.113.9", utcnow() - timedelta(days=31))
    return gateway


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))


def preview(browser: Browser, networks: str) -> str:
    browser.get(DIALOG, headers=FETCH)
    answer = browser.post(PREVIEW, {"allowed_networks": networks}, headers=FETCH)
    assert answer.status_code == 200
    return text_of(answer.get_data(as_text=True))


def test_one_click_fills_the_list_with_the_addresses_seen(owner: Browser, gateway: Gateway) -> None:
    assert "Allow the 3 addresses seen in the last 30 days" in owner.get(DIALOG, headers=FETCH).get_data(as_text=True)
    answer = owner.post(DIALOG, {"allowed_networks": "192.0.2.10/32", "add_seen": "1"}, headers=FETCH)
    page = answer.get_data(as_text=True)
    listed = re.search(r"<textarea[^>]*>\s*(.*?)</textarea>", page, re.DOTALL)
    assert listed
    assert listed[1].split() == ["192.0.2.10/32", "192.0.2.11", "2001:db8::7"]
    assert "would have refused none" in text_of(page)
    with gateway.database.session() as session:
        assert session.get_one(CredentialRow, 1).allowed_networks == []


def test_the_list_on_screen_says_whom_it_would_have_refused(owner: Browser, gateway: Gateway) -> None:
    said = preview(owner, "192.0.2.10")
    assert "Of its last 4 messages, this list would have refused 1: those from 192.0.2.11 (1)." in said
    assert "It was also used in the last 30 days from 2001:db8::7" in said
    said = preview(owner, "198.51.100.0/24")
    assert "would have refused 4: those from 192.0.2.10 (3), 192.0.2.11 (1)." in said
    assert "203.0.113.9" not in said
    assert "refused none" in preview(owner, "192.0.2.0/24, 2001:db8::/32")
    assert "Without entries nobody is refused" in preview(owner, "# nothing yet")
    assert "Line 2: my is not an IP address" in preview(owner, "192.0.2.10\nmy office")
    with gateway.database.session() as session:
        assert session.get_one(CredentialRow, 1).allowed_networks == []


def test_what_was_never_used_teaches_nothing(owner: Browser) -> None:
    credential(gateway_of(owner.app))
    assert "seen in the last 30 days" not in owner.get(DIALOG, headers=FETCH).get_data(as_text=True)
    assert "not been used lately" in preview(owner, "192.0.2.10")


def test_too_many_addresses_are_not_offered(owner: Browser) -> None:
    gateway = gateway_of(owner.app)
    for number in range(101):
        used(gateway, f"198.51.100.{number}")
    page = owner.get(DIALOG, headers=FETCH).get_data(as_text=True)
    assert "from 101 addresses" in page
    assert "add_seen" not in page


def test_a_viewer_learns_nothing(logged_in: Callable[[str], Browser], gateway: Gateway) -> None:
    assert logged_in("viewer").post(PREVIEW, {"allowed_networks": ""}).status_code == 403


@pytest.mark.browser
@on_sqlite
@pytest.mark.parametrize("width", [1440, PHONE])
def test_in_chromium(panel_app: Flask, gateway: Gateway, open_page: Callable[..., Visit], width: int) -> None:
    visit = open_page(panel_app, "manager", width=width)
    page = visit.goto("/admin/smtp-users/")
    page.click(".lock-button")
    page.wait_for_selector("#modal-dialog[open] #lock-preview")
    page.fill("[name=allowed_networks]", "192.0.2.10")
    page.wait_for_selector("#lock-preview:has-text('would have refused 1')")
    visit.shot(f"learn-warned-{width}")
    page.click("[name=add_seen]")
    page.wait_for_selector("#lock-preview:has-text('would have refused none')")
    assert page.input_value("[name=allowed_networks]").split() == ["192.0.2.10", "192.0.2.11", "2001:db8::7"]
    visit.shot(f"learn-filled-{width}")
    assert visit.fits()
    page.click("#modal-dialog [type=submit]:has-text('Save')")
    page.wait_for_selector("text=may be used from 3 ranges only")
    with gateway.database.session() as session:
        assert len(session.get_one(CredentialRow, 1).allowed_networks) == 3
