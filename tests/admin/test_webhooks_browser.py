"""A webhook from its first test event to a broken receiver and back, in real Chromium."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from tests.integrations.webhooks.conftest import dispatching
from tests.support.browser import Visit, on_sqlite
from tests.support.factories import make_domain
from tests.support.hook_receiver import HookReceiver
from tests.support.queue import enqueue
from webapp import gateway_of
from webapp.core.models import utcnow
from webapp.core.rules.events import EventName
from webapp.core.services import events

pytestmark = [pytest.mark.browser, on_sqlite]


def test_a_webhook_breaks_and_is_mended(make_panel: Callable[..., Flask], open_page: Callable[..., Visit]) -> None:
    app = make_panel(allow_private_webhooks=True, retry_first="0.02s", retry_max_age="0.2s")
    gateway = gateway_of(app)
    domain_id = make_domain(gateway)
    message_id = enqueue(gateway)
    visit = open_page(app, "manager")

    with HookReceiver() as receiver, dispatching(gateway):
        page = visit.goto("/admin/webhooks/")
        visit.shot("webhooks-empty")
        page.click("a:has-text('Add webhook') >> nth=0")
        page.fill("[name=name]", "Orders to Zapier")
        page.fill("[name=target_url]", receiver.url)
        assert not page.is_visible("[name=events]")
        page.check("[name=choice][value=some]")
        visit.shot("webhooks-new")
        page.check("[name=choice][value=final]")
        page.click("[type=submit]:has-text('Add webhook')")
        secret = page.input_value("#hook-secret")
        visit.shot("webhooks-secret")

        page.click("text=Send a test event")
        page.wait_for_selector("#progress td[data-label=Result]:has-text('Delivered')")
        assert receiver.received[0].verified(secret)["metadata_json"] == '{"test": "true"}'

        receiver.answer = 500
        with gateway.database.session() as session:
            told = [events.Happened(EventName.BOUNCED, domain_id, message_id, "ann@example.org", 550, "5.1.1 No")]
            events.happened(session, told, utcnow())
        page.reload()
        page.wait_for_selector("text=Paused since")
        page.wait_for_selector("#progress td[data-label=Result]:has-text('Failed')")
        assert "It answered 500 Internal Server Error." in page.inner_text("#progress")
        visit.shot("webhooks-paused")
        page.click("[aria-label='Show request and answer'] >> nth=0")
        page.wait_for_selector("text=Its answer began with")
        visit.shot("webhooks-log")
        assert "webhook-id: evt_" in page.inner_text("#modal-dialog")
        page.click("#modal-dialog button:has-text('Done')")

        receiver.answer = 200
        page.click("[aria-label='Send again'] >> nth=0")
        page.wait_for_selector("#progress tbody tr:first-child td[data-label=Result]:has-text('Delivered')")
        assert receiver.received[-1].verified(secret)["recipient"] == "ann@example.org"
        page.click("text=Resume")
        page.wait_for_selector("#progress dd:has-text('Active')")
        visit.shot("webhooks-page")
        visit.goto("/admin/webhooks/")
        visit.shot("webhooks-list")
        assert visit.fits()
