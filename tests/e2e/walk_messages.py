"""Steps of the walk: mail by each door, found again, and read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

from tests.e2e.walk import Walk, post
from tests.support.queue import until

EVIL = "http://127.0.0.1:9/open.gif"  # whoever asks for it is a stranger to the browser's watch
LIST = "/admin/messages/?domain=example.com"


def send(walk: Walk, password: str, key: str) -> None:
    """By SMTP over STARTTLS and implicit TLS, and by HTTP."""
    mail = "From: CRM <crm@example.com>\r\nTo: {0}\r\nSubject: {1}\r\nX-Order: 4711\r\n\r\nHello {0}\r\n"
    for to, subject, implicit in (("bob@example.org", "Invoice 1001", False), ("cy@example.org", "Reminder", True)):
        with walk.stack.smtp("crm@example.com", password, implicit_tls=implicit) as client:
            client.sendmail("crm@example.com", [to, "archive@example.org"], mail.format(to, subject))
    html = f"<p style='color:red' id=t>Sale!</p><img src='{EVIL}'><script>document.body.remove()</script>"
    assert post(walk, key, subject="Autumn sale", html=html, **{"from": "news@example.com"})[0] == 202


def search(walk: Walk) -> None:
    """Any part of a recipient, a sender or a subject finds it; several words must all be there."""
    page = walk.open(LIST, "messages")
    expect(page.locator("tbody tr").first).to_contain_text("Autumn sale")
    for words, found in (("bob", "Invoice 1001"), ("news@example.com", "Autumn sale"), ("remind cy@", "Reminder")):
        page.get_by_role("searchbox").fill(words)
        page.get_by_role("searchbox").press("Enter")
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.locator("tbody tr")).to_contain_text(found)
    page.get_by_role("searchbox").fill("nothing like this")
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    walk.look("messages-nothing")
    page.get_by_role("link", name="Clear the search").click()


def use_filters(walk: Walk) -> None:
    """Status, recipient, sender, subject, credential and date, alone and together."""
    today = datetime.now(UTC).date()
    two = {"Invoice 1001", "Reminder"}
    for filters, found in (
        ({"Recipient": "archive@"}, two),
        ({"Sender": "news@"}, {"Autumn sale"}),
        ({"Subject": "invoice"}, {"Invoice 1001"}),
        ({"Status": "captured", "Subject": "Remind"}, {"Reminder"}),
        ({"Status": "a problem"}, set()),
        ({"Credential": "crm@example.com (CRM, invoices)"}, two),
        ({"Date": f"{today + timedelta(days=1)}"}, set()),
        ({"Date": f"{today - timedelta(days=1)}", "Recipient": "archive@"}, two),
    ):
        page = walk.open(LIST)
        for name, value in filters.items():
            page.get_by_role("button", name="Filter", exact=True).click()
            page.locator(".dropdown-menu.show").get_by_role("button", name=name, exact=True).click()
            field = page.locator(".filter-value").get_by_label(name)
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(label=value)
            else:
                field.fill(value)
        if len(filters) > 1:
            walk.look("messages-filters")
        page.get_by_role("button", name="Apply").click()
        if found:
            expect(page.locator("tbody tr")).to_have_count(len(found))
            assert set(page.locator(".message-subject").all_inner_texts()) == found, filters
        else:
            expect(page.get_by_text("Nothing matches")).to_be_visible()
    walk.open(LIST + "&flt0_recipient_contains=bob")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Remove this filter").click()
    expect(walk.row("Autumn sale")).to_be_visible()


def read(walk: Walk) -> None:
    """Recipients and what became of them, headers, source, and a body that does nothing but be looked at."""
    page = walk.open(LIST)
    page.get_by_role("link", name="Invoice 1001").click()
    progress = page.locator("#progress")
    for text in ("bob@example.org", "archive@example.org", "It was kept here on purpose"):
        expect(progress).to_contain_text(text)
    expect(page.locator(".message-facts")).to_contain_text("crm@example.com CRM, invoices")
    walk.look("message-text")
    page.get_by_role("link", name="Headers").click()
    expect(page.locator(".message-headers")).to_contain_text("X-Order")
    walk.look("message-headers")
    page.get_by_role("link", name="Source").click()
    expect(page.locator(".message-text")).to_contain_text("with ESMTPSA")
    walk.look("message-source")

    walk.open(LIST)
    page.get_by_role("link", name="Autumn sale").click()
    frame = page.frame_locator("iframe.message-frame")
    expect(frame.locator("#t")).to_have_css("color", "rgb(255, 0, 0)")
    expect(page.get_by_text("1 picture is not shown")).to_be_visible()
    walk.look("message-html")
    until(lambda: "Captured" in page.locator("#progress").inner_text())
