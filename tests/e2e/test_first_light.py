"""The way of a newcomer, in real Chromium against the started services: from the printed link to mail that arrived."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.e2e.walk import ADA, ADA_PASSWORD, Walk, post, ticks_off
from tests.e2e.walk_credentials import (
    add_api_key,
    add_generated_user,
    add_typed_user,
    close_the_locks,
    rotate,
    walk_of_life,
)
from tests.e2e.walk_domains import add_domains, keep_the_domain
from tests.e2e.walk_integrations import download_the_apps, go_on, make_key, see_it_work
from tests.e2e.walk_messages import read, search, send, use_filters
from tests.support.browser import Visit
from tests.support.factories import make_api_key, make_domain
from tests.support.queue import until
from tests.support.smtp_sink import SmtpSink
from tests.support.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything running with an empty database; what is deferred is tried again after a second."""
    with Stack(tmp_path_factory.mktemp("stack"), retry_first="1s") as started:
        yield started


def test_from_the_printed_link_to_a_mail_in_the_list(stack: Stack, open_page: Callable[..., Visit]) -> None:
    visit = open_page(stack)
    walk = Walk(stack, visit, visit.page)
    set_up(walk)
    add_domains(walk)
    add_typed_user(walk)
    password = add_generated_user(walk)
    key = add_api_key(walk)
    close_the_locks(walk, password, key)
    walk_of_life(walk, key)
    key = rotate(walk)
    send(walk, password, key)
    search(walk)
    use_filters(walk)
    read(walk)
    keep_the_domain(walk)


def set_up(walk: Walk) -> None:
    """The printed link lets one choose e-mail and password, once."""
    page = walk.open(walk.stack.setup_link, "setup")
    page.fill("#email", ADA)
    ticks_off(page, "#password", "ada", set())
    ticks_off(page, "#password", "Ada longer", {"length", "capital"})
    page.get_by_role("button", name="Create the owner").click()
    expect(page.locator(".field-error")).to_contain_text("special character")
    ticks_off(page, "#password", ADA_PASSWORD, {"length", "capital", "special"})
    page.get_by_role("button", name="Create the owner").click()
    expect(page).to_have_url(re.compile("/admin/$"))
    walk.look("home-new")
    assert walk.stack.get(walk.stack.setup_link)[0] == 404, "it works once"


def test_a_relay_chosen_in_the_panel_gets_the_mail(stack: Stack, open_page: Callable[..., Visit]) -> None:
    visit = open_page(stack, "owner")
    walk = Walk(stack, visit, visit.page)
    keys = {}
    with stack.services() as gateway:
        for domain in ("relayed.example", "stranger.example"):
            make_domain(gateway, domain)
            _, keys[domain] = make_api_key(gateway, domain=domain)
    key, strange = keys.values()
    page = walk.open("/admin/settings/")
    with SmtpSink() as sink:
        vouch_and_choose(walk, sink)
        until(lambda: post(walk, strange, **{"from": "a@stranger.example"})[0] == 422)
        sent = {"from": "shop@relayed.example", "subject": "Through the relay"}
        assert post(walk, key, **sent)[0] == 202
        until(lambda: sink.arrived("ann@example.org"))
    assert post(walk, key, **sent | {"subject": "While it is down", "to": "bob@example.org"})[0] == 202
    walk.open("/admin/messages/?domain=relayed.example")
    page.get_by_role("link", name="While it is down").click()
    expect(page.locator("#progress")).to_contain_text("Deferred", timeout=30_000)
    expect(page.locator("#progress")).to_contain_text("The other server could not take it yet")
    walk.look("message-deferred")
    with sink:
        until(lambda: sink.arrived("bob@example.org"))
        expect(page.locator("#progress")).to_contain_text("The next server has taken it over", timeout=30_000)
    assert page.locator("#progress section").nth(1).locator("tbody tr").count() >= 2, (
        "the failed attempts, and the last"
    )
    walk.look("message-delivered")
    assert len(sink.arrived("bob@example.org")) == 1
    walk.open("/admin/messages/?domain=relayed.example", "messages-relayed")


def vouch_and_choose(walk: Walk, sink: SmtpSink) -> None:
    """Settings tell whose mail a relay would refuse; a wrong relay is refused with a sentence."""
    page = walk.page
    expect(page.get_by_text("Nothing is refused while mail is only captured")).to_be_visible()
    refused = page.locator(".refused-domains li", has=page.get_by_role("button", name="Vouch for it"))
    expect(refused.filter(has_text="stranger.example")).to_be_visible()
    walk.look("settings-capture")
    refused.filter(has_text="relayed.example").get_by_role("button", name="Vouch for it").click()
    walk.confirm("Vouch")
    walk.told("You vouch for relayed.example now")
    expect(refused.filter(has_text="relayed.example")).to_have_count(0)
    page.locator("#delivery-relay").check()
    page.get_by_role("button", name="Save").first.click()
    expect(page.locator(".field-error").first).to_be_visible()
    walk.look("settings-no-relay")
    page.locator("#delivery-relay").check()
    page.get_by_role("textbox", name="Host").fill("127.0.0.1")
    page.get_by_role("spinbutton", name="Port").fill(str(sink.port))
    page.get_by_label("Encryption").select_option("opportunistic")
    page.get_by_role("button", name="Save").first.click()
    walk.told("leaves through the relay")
    expect(page.locator(".mode-strip")).to_have_count(0)
    walk.look("settings-relay")


def test_zapier_is_connected_until_it_works(stack: Stack, open_page: Callable[..., Visit]) -> None:
    visit = open_page(stack, "manager")
    walk = Walk(stack, visit, visit.page)
    with stack.services() as gateway:
        for domain in ("other.example", "zaps.example"):
            make_domain(gateway, domain, vouch=True)
    bearer = make_key(walk, "zaps.example")
    see_it_work(walk, bearer)
    download_the_apps(walk)
    go_on(walk)
