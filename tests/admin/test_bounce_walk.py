"""A bounce is found, its address released from suppression, and the mail sent again: in real Chromium."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from tests.admin.mailroom import credential, send
from tests.smtpd.bounces.reports import bring, listening, report
from tests.smtpd.delivery.mail_net import MailNet
from tests.smtpd.delivery.mail_net import net as net  # noqa: PLC0414 - a fixture
from tests.support.browser import Visit, on_sqlite
from tests.support.queue import delivering
from webapp import gateway_of

pytestmark = [pytest.mark.browser, on_sqlite]


def test_a_bounce_is_found_and_its_address_released(
    make_panel: Callable[..., Flask], net: MailNet, open_page: Callable[..., Visit]
) -> None:
    sink = net.serve("mx.example.org")
    net.domain("example.org", "10 mx.example.org")
    net.domain("example.com", "10 mx.example.org")
    app = make_panel(**net.settings, bounce_bind="127.0.0.1:0")
    gateway = gateway_of(app)
    user_id = credential(gateway).id
    visit = open_page(app, "manager")

    with delivering(gateway), listening(gateway) as port:
        message_id = send(gateway, "ann@example.org")
        page = visit.goto(f"/admin/messages/{message_id}/")
        page.wait_for_selector("#progress td[data-label=Status]:has-text('Delivered')")
        (taken,) = sink.arrived("ann@example.org")
        assert bring(port, taken.sender, report())[0] == 250

        visit.goto("/admin/messages/?flt0_status_is=problem")
        page.click("a:has-text('Your order')")
        page.wait_for_selector("#progress td[data-label=Status]:has-text('Bounced')")
        assert "User unknown" in page.inner_text("#progress td[data-label=Answer] >> nth=0")
        visit.shot("bounce-message")
        assert visit.fits()
        page.click("#progress a:has-text('Release it')")
        page.wait_for_selector("td:has-text('ann@example.org')")
        visit.shot("bounce-suppressed")
        assert "User unknown" in page.inner_text("tbody")

        page.click("[aria-label='Release this suppressed address']")
        visit.shot("bounce-release-dialog")
        page.click("#confirm-accept:has-text('Release')")
        page.wait_for_selector("text=ann@example.org was released.")

        visit.goto(f"/admin/messages/{message_id}/")
        assert page.locator("#progress a:has-text('Release it')").count() == 0
        page.click("button:has-text('Send again')")
        page.click("#confirm-accept")
        page.wait_for_selector("#progress td[data-label=Status]:has-text('Delivered')")
        assert len(sink.arrived("ann@example.org")) == 2

        page = visit.goto(f"/admin/smtp-users/edit/?id={user_id}")
        assert page.is_checked("[name=dsn_on_failure]")
        visit.shot("bounce-smtp-user")
