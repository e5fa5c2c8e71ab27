"""Steps of the walk: SMTP users, API keys, their locks, and how they end."""

from __future__ import annotations

import json
import re
import smtplib
import subprocess

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.walk import ADA, Walk, post, ticks_off
from tests.e2e.walk_domains import choose_domain
from tests.support import needs
from tests.support.factories import make_api_key
from tests.support.queue import until

TYPED = "Scanner-2nd-floor"


def add_typed_user(walk: Walk) -> None:
    """With all domains shown the form asks which; the password's rules tick off, and hold on the server."""
    page = walk.open("/admin/smtp-users/", "smtp-users-none")
    page.get_by_role("link", name="Add SMTP user").first.click()
    expect(page.get_by_role("heading", name="New SMTP user", exact=True)).to_be_visible()
    walk.look("smtp-user-new-all-domains")
    expect(page.get_by_text("Can your program call a web address?")).to_be_visible()
    page.get_by_role("link", name="Create an API key instead").click()
    expect(page).to_have_url(re.compile("/admin/api-keys/new/"))
    page.go_back()
    page.get_by_label("Username").fill("scanner")
    page.get_by_label("I type my own").check()
    ticks_off(page, "#password", "scanner", set())
    page.get_by_role("button", name="Create").click()
    walk.look("smtp-user-refused")
    for text in ("Choose the domain", "at least 8 characters", "capital letter", "special character"):
        expect(page.locator(".field-error", has_text=text)).to_be_visible()
    choose_domain(walk, "example.com")
    expect(page.get_by_role("heading", name="New SMTP user for example.com")).to_be_visible()
    expect(page.get_by_label("Username")).to_have_value("@example.com")
    page.get_by_label("Username").fill("scanner@example.com")
    page.get_by_label("I type my own").check()
    ticks_off(page, "#password", TYPED, {"length", "capital", "special"})
    page.get_by_label("Note").fill("Scanner, 2nd floor")
    walk.look("smtp-user-new")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#smtp-password")).to_have_value(TYPED)


def add_generated_user(walk: Walk) -> str:
    """A password is generated unless one insists; the card is shown once and has all that programs ask for."""
    page = walk.open("/admin/smtp-users/new/?domain=example.com")
    page.get_by_label("Username").fill("Scanner@example.com")
    page.get_by_role("button", name="Create").click()
    expect(page.locator(".field-error")).to_contain_text("already")
    page.get_by_label("Username").fill("crm@example.com")
    page.get_by_label("Note").fill("CRM, invoices")
    page.get_by_role("button", name="Create").click()
    card = page.locator(".copy-rows")
    expect(card).to_be_visible()
    walk.look("smtp-card")
    password = walk.copied("Copy: Password")
    assert re.fullmatch(r"[A-Za-z2-9!-]{20}", password)
    assert walk.copied("Copy: Server") == "127.0.0.1"
    assert walk.copied("Copy: Port with STARTTLS") == str(walk.stack.smtp_port)
    assert walk.copied("Copy: Port with SSL/TLS") == str(walk.stack.smtps_port)
    assert walk.copied("Copy: Username") == "crm@example.com"
    for tab, said in (
        ("Outlook", "More settings"),
        ("Thunderbird", "Outgoing server"),
        ("Apple", "iPhone"),
        ("Printers", "Scan to e-mail"),
    ):
        page.get_by_role("tab", name=tab).click()
        shown = page.get_by_role("tabpanel")
        expect(shown).to_have_count(1)
        expect(shown).to_contain_text(said)
        expect(shown).to_contain_text(str(walk.stack.smtp_port))
        walk.look(f"smtp-card-{tab.lower()}")
    page.reload()
    expect(walk.row("crm@example.com")).to_have_count(1)
    assert password not in page.content(), "it was shown once"
    walk.look("smtp-users")
    return password


def add_api_key(walk: Walk) -> str:
    """The key is shown once, with a command that works as it stands."""
    page = walk.open("/admin/api-keys/?domain=example.com", "api-keys-none")
    page.get_by_role("link", name="Add API key").first.click()
    expect(page.get_by_role("heading", name="New API key for example.com")).to_be_visible()
    page.get_by_label("Note").fill("Web shop")
    walk.look("api-key-new")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#api-key")).to_be_visible()
    walk.look("api-key-card")
    key = walk.copied("Copy: API key")
    assert re.fullmatch(r"pl_[a-z0-9]+_\w+", key), key
    needs.program("curl")
    command = walk.copied("Copy the command")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert json.loads(done.stdout)["to"] == [ADA], done
    page.get_by_role("link", name="I have copied it").click()
    row = walk.row("Web shop")
    expect(row).to_contain_text("_".join(key.split("_")[:2]))
    expect(row).to_contain_text("from 127.0.0.1")
    expect(row).to_contain_text("never expires")
    expect(row).to_contain_text("any address")
    assert key not in page.content(), "it was shown once"
    walk.look("api-keys")
    page.get_by_role("searchbox").fill("_".join(key.split("_")[:2]))
    page.get_by_role("searchbox").press("Enter")
    expect(walk.row("Web shop")).to_be_visible()
    return key


def open_lock(walk: Walk, text: str) -> Locator:
    """Click the lock of the row that has *text*."""
    walk.row(text).locator(".lock-button").click()
    dialog = walk.page.locator("#modal-dialog")
    expect(dialog.get_by_role("heading", name="From where may it be used?")).to_be_visible()
    return dialog


def save(dialog: Locator, text: str | None = None) -> None:
    """Save the lock's list, with *text* in it."""
    if text is not None:
        dialog.get_by_label("Allowed addresses").fill(text)
    dialog.get_by_role("button", name="Save").click()


def close_the_locks(walk: Walk, password: str, key: str) -> None:
    """The lock says what will happen, refuses nonsense, warns of what one may regret, and then really locks."""
    page = walk.open("/admin/api-keys/?domain=example.com")
    dialog = open_lock(walk, "Web shop")
    for text in (
        "Your address is 127.0.0.1",
        "may be used from any address",
        "Make, Zapier",
        "even with the right key",
    ):
        expect(dialog).to_contain_text(text)
    walk.look("lock-open")
    save(dialog, "192.0.2.10\n198.51.100.0/24, office\n2001:db8::/48")
    expect(dialog.locator(".field-error")).to_have_text("Line 2: office is not an IP address or range.")
    walk.look("lock-nonsense")
    save(dialog, "192.0.2.10, 198.51.100.0/24\n0.0.0.0/0")
    expect(dialog).to_contain_text("0.0.0.0/0 is every address there is")
    walk.look("lock-everything")
    save(dialog, "192.0.2.10, 198.51.100.0/24\n2001:db8::/48")
    expect(dialog).to_contain_text("It was last used from 127.0.0.1, which would be shut out.")
    walk.look("lock-shut-out")
    expect(walk.row("Web shop")).to_contain_text("any address"), "nothing is saved yet"
    dialog.get_by_label("Save it anyway").check()
    save(dialog)
    walk.told("may be used from 3 ranges only")
    expect(walk.row("Web shop").locator(".lock-button")).to_contain_text("3 ranges")
    walk.look("lock-closed")
    status, answer = post(walk, key)
    assert (status, answer["error"]["code"]) == (403, "address_not_allowed"), answer

    dialog = open_lock(walk, "Web shop")
    dialog.get_by_role("button", name="Add it").click()
    expect(dialog.get_by_label("Allowed addresses")).to_have_value(re.compile("127.0.0.1"))
    save(dialog)
    walk.told("may be used from 4 ranges only")
    assert post(walk, key)[0] == 202

    page.get_by_role("link", name="SMTP users").click()
    dialog = open_lock(walk, "crm@example.com")
    expect(dialog).to_contain_text("even with the right password")
    save(dialog, "192.0.2.10")
    walk.told("may be used from 1 range only")
    expect(walk.row("crm@example.com").locator(".lock-button")).to_contain_text("1 range")
    with pytest.raises(smtplib.SMTPAuthenticationError):
        walk.stack.smtp("crm@example.com", password)
    save(open_lock(walk, "crm@example.com"), "")
    walk.told("may be used from any address")
    walk.stack.smtp("crm@example.com", password).quit()


def walk_of_life(walk: Walk, key: str) -> None:
    """Its note, pausing it, its end; each takes effect with the very next call."""
    page = walk.open("/admin/api-keys/?domain=example.com")
    walk.row("Web shop").get_by_role("button", name="Edit").click()
    dialog = page.locator("#modal-dialog")
    walk.look("credential-edit")
    dialog.get_by_label("Note").fill("Web shop, orders")
    dialog.get_by_role("button", name="Save").click()
    walk.told("was changed")

    walk.row("Web shop, orders").get_by_role("button", name="Disable").click()
    expect(page.locator("#confirm-title")).to_contain_text("Disable pl_")
    walk.look("confirm")
    walk.confirm("Disable")
    expect(walk.row("Web shop, orders")).to_contain_text("Disabled")
    assert post(walk, key)[0] == 401
    walk.row("Web shop, orders").get_by_role("button", name="Enable").click()
    expect(walk.row("Web shop, orders")).to_contain_text("Active")
    assert post(walk, key)[0] == 202

    walk.row("Web shop, orders").get_by_role("button", name="Edit").click()
    dialog.get_by_label("Expire it now").check()
    dialog.get_by_role("button", name="Save").click()
    expect(walk.row("Web shop, orders")).to_contain_text("Expired")
    assert post(walk, key)[0] == 401

    walk.row("Web shop, orders").get_by_role("button", name="Delete").click()
    expect(page.locator("#confirm-dialog")).to_contain_text("history of its mail is kept")
    walk.confirm("Delete")
    walk.told("was deleted")
    expect(page.get_by_text("No API key yet")).to_be_visible()
    page = walk.open("/admin/messages/?domain=example.com")
    expect(walk.row("Hello from Postlatch")).to_contain_text("Web shop, orders")


def rotate(walk: Walk) -> str:
    """For a while old and new both work, and the list names the program that still has the old one."""
    with walk.stack.services() as gateway:
        _, old = make_api_key(gateway, note="Newsletter")
    assert post(walk, old)[0] == 202
    page = walk.open("/admin/api-keys/?domain=example.com")
    walk.row("Newsletter").get_by_role("link", name="New key").click()
    walk.look("rotate")
    page.get_by_label("24 hours").check()
    page.get_by_role("button", name="Make the new one").click()
    expect(page.get_by_text("The old one works until")).to_be_visible()
    walk.look("rotated")
    new = walk.copied("Copy: API key")
    assert new != old
    assert new.split("_")[1] == old.split("_")[1]
    page.get_by_role("link", name="I have copied it").click()
    expect(walk.row("Newsletter")).to_contain_text("nobody has used it since")
    assert post(walk, new)[0] == 202
    assert (
        walk.stack.post(
            "/v1/send",
            {"from": "a@example.com", "to": "b@example.org", "text": "x"},
            **{"Authorization": f"Bearer {old}", "User-Agent": "OldNewsletter/1.0"},
        )[0]
        == 202
    )
    until(lambda: "OldNewsletter/1.0" in walk.open("/admin/api-keys/?domain=example.com").content())
    expect(walk.row("Newsletter")).to_contain_text("still used by: 127.0.0.1 (OldNewsletter/1.0)")
    walk.look("rotating")
    walk.row("Newsletter").get_by_role("button", name="End it now").click()
    walk.confirm("End it now")
    walk.told("ended")
    assert post(walk, old)[0] == 401
    assert post(walk, new)[0] == 202
    return new
