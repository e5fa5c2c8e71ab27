"""A domain from red to green in real Chromium, with a real worker's checks against a real DNS server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from playwright.sync_api import expect

from tests.support.browser import Visit, on_sqlite
from tests.support.dns_server import DnsServer
from tests.support.tasks import at_work
from webapp import gateway_of
from webapp.domain_checks_job import domain_check_handler

pytestmark = [pytest.mark.browser, on_sqlite]


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer() as server:
        server.records["example.org", "NS"] = ["amy.ns.cloudflare.com.", "bob.ns.cloudflare.com."]
        server.records["mail.postlatch.test", "A"] = ["192.0.2.25"]
        yield server


@contextmanager
def checking(app: Flask) -> Iterator[None]:
    gateway = gateway_of(app)
    with at_work(gateway, {"domain_check": domain_check_handler(gateway)}):
        yield


def copied(visit: Visit, label: str, section: str) -> str:
    """What a copy button of a record leaves in the clipboard."""
    visit.page.locator(f"section:has(> .record-head #{section}-heading) button[aria-label='Copy: {label}']").click()
    return str(visit.page.evaluate("navigator.clipboard.readText()"))


def test_domain_set_up_from_red_to_green(
    make_panel: Callable[..., Flask], open_page: Callable[..., Visit], dns: DnsServer
) -> None:
    app = make_panel(delivery="mx", dns=dns.address)
    visit = open_page(app, "owner")
    page = visit.page
    dns.txt["shop.example.org"] = ["v=spf1 include:_spf.mailhost.test -all", "unrelated"]
    dns.txt["_spf.mailhost.test"] = ["v=spf1 ip4:198.51.100.0/24 -all"]
    with checking(app):
        visit.goto("/admin/domains/new/")
        page.fill("[name=name]", "shop.example.org")
        page.click("button:has-text('Add domain')")
        heading = page.locator("#light-heading")
        expect(heading).to_have_text("Not verified yet")
        expect(page.locator("#ownership-heading + .state")).to_have_text("Missing")
        expect(page.locator("#spf-heading + .state")).to_have_text("Differs")
        expect(page.locator(".record-problems")).to_contain_text("This server is not in it")
        visit.goto("/admin/domains/1/")
        expect(page.locator("#cloudflare-tab")).to_have_class("nav-link active")
        assert visit.fits()
        visit.shot("domain-red")

        assert copied(visit, "Name", "ownership") == "_postlatch.shop"
        dns.txt["_postlatch.shop.example.org"] = [copied(visit, "Value", "ownership")]
        page.click("text=Check now")
        expect(heading).to_have_text("Mail leaves, but something needs attention")
        expect(page.locator("#ownership-heading + .state")).to_have_text("Found")
        visit.shot("domain-yellow")

        assert copied(visit, "Value", "spf") == "v=spf1 include:_spf.mailhost.test a:mail.postlatch.test -all"
        dns.txt["shop.example.org"] = [copied(visit, "Value", "spf")]
        dkim = page.locator("section:has(h2:has-text('DKIM RSA'))")
        name = dkim.locator("[id$='-full']").input_value()
        dkim.locator("button[aria-label='Copy: Value']").click()
        dns.txt[name] = [str(page.evaluate("navigator.clipboard.readText()"))]
        dns.txt[copied(visit, "Full name", "dmarc")] = [copied(visit, "Value", "dmarc")]
        page.click("text=Check now")
        expect(heading).to_have_text("Ready: everything is in place")
        expect(page.locator(".key-list")).to_contain_text("Signs mail since")
        visit.shot("domain-green")

        page.click("text=Replace")
        page.click("#confirm-accept")
        expect(page.locator("section:has-text('the new key') .state")).to_have_text(["Not checked yet"])
        page.click("text=Check now")
        expect(page.locator("section:has-text('the new key') .state")).to_have_text(["Missing"])
        expect(heading).to_have_text("Ready: everything is in place")
        visit.shot("domain-rotating")

    visit.goto("/admin/domains/")
    expect(page.locator(".light-green")).to_be_visible()
    assert visit.fits()
    visit.shot("domains")
