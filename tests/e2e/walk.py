"""What the walks through the panel share: the browser that goes from page to page, and looks at each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.support.browser import Visit
from tests.support.stack import Stack

ADA, ADA_PASSWORD = "ada@example.net", "Ada's Password"


@dataclass
class Walk:
    """The newcomer's browser, and the services that it is about."""

    stack: Stack
    visit: Visit
    page: Page

    def open(self, path: str, name: str = "") -> Page:
        """Open a page, see that it fits, and take its picture under *name*."""
        self.visit.goto(path)
        if name:
            self.look(name)
        return self.page

    def look(self, name: str) -> None:
        """See that the page fits, and take its picture."""
        assert self.visit.fits(), name
        self.visit.shot(name)

    def told(self, text: str) -> None:
        """Wait until the panel says so."""
        expect(self.page.locator(".messages")).to_contain_text(text)

    def row(self, text: str) -> Locator:
        """The row of the page's list that has *text*."""
        return self.page.locator("tbody tr", has_text=text)

    def confirm(self, button: str) -> None:
        """Answer the question that the panel asks first."""
        self.page.locator("#confirm-dialog").get_by_role("button", name=button).click()

    def copied(self, label: str) -> str:
        """Click a copy button; what is in the clipboard then."""
        self.page.get_by_role("button", name=label, exact=True).click()
        expect(self.page.locator("#live-region")).to_have_text("Copied.")
        return str(self.page.evaluate("navigator.clipboard.readText()"))


def ticks_off(page: Page, field: str, text: str, met: set[str]) -> None:
    """Typing *text* ticks off the rules *met*, besides the one that nearly everything meets."""
    page.fill(field, "")
    page.locator(field).press_sequentially(text)
    rules = page.locator(f"{field}-rules .met")
    assert set(rules.evaluate_all("items => items.map(item => item.dataset.rule)")) - {"printable"} == met, text


def post(walk: Walk, key: str, **fields: str) -> tuple[int, Any]:
    """Send by HTTP: the status and the answer."""
    body = {"from": "shop@example.com", "to": "ann@example.org", "subject": "Your order", "text": "Thanks."} | fields
    return walk.stack.post("/v1/send", body, Authorization=f"Bearer {key}")
