"""The way of a newcomer, in real Chromium against the started services: from the printed link to mail that arrived."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.e2e.walk import ADA, ADA_PASSWORD, Walk, ticks_off
from tests.e2e.walk_credentials import (
    add_api_key,
    add_domains,
    add_generated_user,
    add_typed_user,
    close_the_locks,
    keep_the_domain,
    rotate,
    walk_of_life,
)
from tests.e2e.walk_messages import read, search, send, use_filters
from tests.support.browser import Visit
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
