"""The Integrations page walked in Chromium, from a key that it made to a live "it worked"."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable

import pytest
from flask import Flask

from integrations.api import create_api
from tests.support.browser import Visit, on_sqlite
from tests.support.factories import make_domain
from webapp import gateway_of
from webapp.admin import csrf

pytestmark = [pytest.mark.browser, on_sqlite]


def call(url: str, authorization: str, body: dict[str, str] | None = None) -> None:
    """Call the API as a platform does; raises when it is refused."""
    headers = {"Authorization": authorization, "Content-Type": "application/json", "User-Agent": "Zapier"}
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as answer:
        assert answer.status in {200, 202}


def test_zapier_is_connected_until_it_works(make_panel: Callable[..., Flask], open_page: Callable[..., Visit]) -> None:
    app = make_panel()
    gateway = gateway_of(app)
    blueprint = create_api(gateway)
    csrf.exempt(blueprint)
    app.register_blueprint(blueprint)
    make_domain(gateway)
    make_domain(gateway, "second.example")
    visit = open_page(app, "manager")

    page = visit.goto("/admin/integrations/")
    visit.shot("integrations")
    assert visit.fits()
    page.click("text=Connect Zapier")
    page.click("button:has-text('Make a key')")
    assert "Choose the domain that it sends for." in page.inner_text("main")
    page.select_option("[name=domain]", "second.example")
    assert (page.input_value("[name=note]"), page.input_value("[name=messages_per_hour]")) == ("Zapier", "100")
    visit.shot("integrations-zapier")
    assert visit.fits()
    page.click("button:has-text('Make a key')")

    page.wait_for_selector("#first-call:has-text('Waiting for the first call')")
    bearer = page.input_value("#send-bearer")
    assert bearer == "Bearer " + page.input_value("#api-key")
    visit.shot("integrations-key")
    call(f"{visit.base}/v1/me", bearer)
    page.wait_for_selector("#first-call:has-text('It worked: first call from 127.0.0.1')")

    fields = {name: page.input_value(f"#field-{name}") for name in ("from", "to", "subject", "text")}
    assert fields["from"] == "hello@second.example"
    with pytest.raises(urllib.error.HTTPError, match="422"):
        call(f"{visit.base}/v1/send", bearer, fields | {"from": "hello@example.com"})
    page.wait_for_selector("#first-call:has-text('was refused')")
    visit.shot("integrations-refused")
    call(f"{visit.base}/v1/send", bearer, fields)
    page.wait_for_selector("#first-call a:has-text('See the first message')")
    visit.shot("integrations-worked")
    assert visit.fits()

    page.click("text=I have copied it")
    assert bearer.removeprefix("Bearer ") not in page.content()
    assert page.input_value("#send-bearer") == "Bearer YOUR_KEY"
    visit.shot("integrations-made")
    page.click("text=See the first message")
    assert "Hello from Postlatch" in page.inner_text("main")
