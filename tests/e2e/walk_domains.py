"""Steps of the walk: domains."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.e2e.walk import ADA, Walk


def choose_domain(walk: Walk, name: str) -> None:
    """Take another domain at the top."""
    walk.page.locator(".domain-selector > button").click()
    walk.page.locator(".domain-menu").get_by_role("link", name=name, exact=True).click()
    expect(walk.page.locator(".domain-selector > button")).to_have_text(name)


def add_domains(walk: Walk) -> None:
    """The first needs no selector; with the second there is one, and lists say whose each row is."""
    page = walk.page
    page.get_by_role("link", name="Add domain").click()
    walk.look("domain-new")
    page.get_by_label("Domain name").fill("not a domain")
    page.get_by_role("button", name="Add domain").click()
    expect(page.locator(".field-error")).to_contain_text("not a domain")
    page.get_by_label("Domain name").fill("example.com")
    page.get_by_label("I vouch for it").check()
    page.get_by_role("button", name="Add domain").click()
    walk.told("example.com was added")
    expect(page.locator(".domain-light")).to_contain_text(f"{ADA} vouches for it")
    walk.look("domain-new-added")
    walk.open("/admin/domains/", "domains")
    expect(walk.row("example.com")).to_contain_text(f"{ADA} vouches for it")
    expect(page.locator(".domain-selector")).to_have_count(0)
    page.get_by_role("link", name="Add domain").click()
    page.get_by_label("Domain name").fill("shop.example.org")
    page.get_by_role("button", name="Add domain").click()
    walk.told("shop.example.org was added")
    walk.open("/admin/domains/")
    expect(walk.row("shop.example.org")).to_contain_text(re.compile("Not verified|Not checked yet"))
    walk.look("domains-two")


def keep_the_domain(walk: Walk) -> None:
    """A domain with live credentials stays, and the message lists them; one without goes, and its mail stays."""
    page = walk.open("/admin/smtp-users/")
    expect(walk.row("crm@example.com").locator(".col-domain")).to_have_text("example.com")
    walk.look("smtp-users-all-domains")
    walk.open("/admin/domains/")
    walk.row("example.com").get_by_role("button", name="Delete").click()
    expect(page.locator("#confirm-title")).to_have_text("Delete example.com?")
    walk.confirm("Delete")
    walk.told("example.com still has credentials: ")
    for text in ("crm@example.com", "scanner@example.com", "(Newsletter)"):
        walk.told(text)
    walk.look("domain-kept")
    walk.row("shop.example.org").get_by_role("button", name="Delete").click()
    walk.confirm("Delete")
    walk.told("shop.example.org was deleted")
    expect(page.locator(".domain-selector")).to_have_count(0)
