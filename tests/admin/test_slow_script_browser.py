"""Clicks that come before the panel's script does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from playwright.sync_api import Route, expect

from tests.support.browser import Visit, on_sqlite
from tests.support.factories import make_domain
from webapp import gateway_of

pytestmark = [pytest.mark.browser, on_sqlite]


def test_what_asks_first_asks_however_early_the_click(panel_app: Flask, open_page: Callable[..., Visit]) -> None:
    make_domain(gateway_of(panel_app))
    visit = open_page(panel_app, "manager")
    page, held = visit.page, list[Route]()
    page.route("**/postlatch.js*", lambda route: held.append(route))  # noqa: PLW0108 - a builtin has no signature
    page.goto(f"{visit.base}/admin/domains/", wait_until="commit")
    page.get_by_role("button", name="Delete").click(no_wait_after=True)
    expect(page.locator("tbody")).to_contain_text("example.com")
    (script,) = held
    script.continue_()

    page.locator("#confirm-dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".messages")).to_contain_text("example.com was deleted")
