"""Requests a minute on the Settings page."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.admin.conftest import Browser
from webapp import gateway_of

PAGE = "/admin/settings/"


def rates(browser: Browser) -> tuple[int | None, int | None]:
    gateway = gateway_of(browser.app)
    with gateway.database.session() as session:
        current = gateway.preferences.read(session)
    return current.requests_per_key, current.requests_per_address


def test_an_owner_sets_them_and_takes_them_away(owner: Browser) -> None:
    assert "Requests to the API" in owner.get(PAGE + "requests").get_data(as_text=True)
    fields = {"requests_per_key": "60", "requests_per_address": ""}
    assert owner.post(PAGE + "requests", fields).status_code == 303
    assert rates(owner) == (60, None)
    page = owner.get(PAGE + "requests").get_data(as_text=True)
    assert "The limits on requests were saved" in page
    assert 'value="60"' in page
    owner.post(PAGE + "requests", {"requests_per_key": "", "requests_per_address": "90"})
    assert rates(owner) == (None, 90)


@pytest.mark.parametrize("wrong", ["0", "-5", "x", "1000001"])
def test_a_wrong_number_is_refused(owner: Browser, wrong: str) -> None:
    owner.get(PAGE)
    answer = owner.post(PAGE + "requests", {"requests_per_key": wrong, "requests_per_address": ""})
    assert answer.status_code == 422
    assert rates(owner) == (None, None)


def test_only_owners_may(logged_in: Callable[[str], Browser], owner: Browser) -> None:
    manager = logged_in("manager")
    assert manager.post(PAGE + "requests", {"requests_per_key": "5"}).status_code == 403
    assert rates(owner) == (None, None)
