"""A walk in Chromium: see who failed to log in, see what is locked, and let somebody in again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from tests.support.browser import Visit, on_sqlite
from tests.support.factories import PASSWORD, make_domain, make_smtp_user
from webapp import gateway_of
from webapp.core.models import utcnow
from webapp.core.rules.refusals import Refused
from webapp.core.rules.submission import Peer
from webapp.core.services import reverse_names
from webapp.core.services.gateway import Gateway

pytestmark = [pytest.mark.browser, on_sqlite]

USER, OFFICE = "printer@example.com", "203.0.113.20"


def guess(gateway: Gateway, ip: str, name: str, passwords: range, client: str) -> None:
    """Guess as the SMTP door has it judged and noted."""
    peer = Peer("smtp", ip, client)
    for number in passwords:
        with pytest.raises(Refused) as caught:
            gateway.authenticate_smtp(name, f"Wrong-{ip}-{number}", peer)
        gateway.refuse(caught.value, peer, name=name)


def test_a_locked_office_is_found_and_let_in_again(panel_app: Flask, open_page: Callable[..., Visit]) -> None:
    gateway = gateway_of(panel_app)
    make_domain(gateway)
    make_smtp_user(gateway)
    guess(gateway, OFFICE, USER, range(12), "printer-2nd-floor.office.example")
    guess(gateway, "198.51.100.7", "admin@example.com\x07<b>", range(2), "ylmf-pc")
    with gateway.database.session() as session:
        reverse_names.want(session, [OFFICE], utcnow())
        reverse_names.learn(session, OFFICE, "static-20.office-line.example.net", utcnow())
    gateway.ledger.submit(lambda session: None).result(10)

    visit = open_page(panel_app, "manager")
    page = visit.goto("/admin/")
    page.get_by_role("link", name="Failed attempts").click()
    page.wait_for_url("**/admin/attempts/")
    assert page.locator("tbody tr").count() == 14
    assert page.get_by_text("static-20.office-line.example.net").count() == 12
    assert page.get_by_text("counts", exact=True).count() == 12
    assert visit.fits()
    visit.shot("attempts")

    page.get_by_role("link", name="By address").click()
    assert page.locator("tbody tr").first.inner_text().startswith(OFFICE)
    visit.shot("attempts-by-address")
    page.get_by_role("link", name=OFFICE).click()
    assert page.locator("tbody tr").count() == 12

    page.get_by_role("link", name="Locks").click()
    assert page.locator("tbody tr").count() == 2
    assert visit.fits()
    visit.shot("locks")
    address = page.get_by_role("row").filter(has_text=f"Address {OFFICE}")
    address.get_by_role("button", name="Unlock").click()
    page.get_by_role("dialog").get_by_role("button", name="Unlock").click()
    page.get_by_text("is unlocked.").wait_for()
    page.get_by_text("Nothing is locked").wait_for()
    visit.shot("locks-none")
    assert gateway.authenticate_smtp(USER, PASSWORD, Peer("smtp", OFFICE))

    page.set_viewport_size({"width": 390, "height": 900})
    visit.goto("/admin/attempts/")
    assert visit.fits()
