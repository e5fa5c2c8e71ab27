"""Sending limits in the panel: set at a credential and a domain, shown with what is used."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from tests.admin.conftest import Browser
from tests.admin.mailroom import send
from tests.support.factories import make_api_key, make_domain, make_smtp_user
from webapp import gateway_of
from webapp.core.models import AuditEntry, CredentialRow, Domain
from webapp.core.rules.quotas import Limits

FETCH = {"X-Requested-With": "fetch"}


@pytest.fixture(params=["smtp-users", "api-keys", "domains"])
def page(request: pytest.FixtureRequest, owner: Browser) -> str:
    """The list of each kind of thing that may have limits, with one row."""
    gateway = gateway_of(owner.app)
    make_domain(gateway)
    if request.param == "smtp-users":
        make_smtp_user(gateway)
    elif request.param == "api-keys":
        make_api_key(gateway)
    return f"/admin/{request.param}/"


def limits(browser: Browser, page: str) -> Limits:
    model = Domain if "domains" in page else CredentialRow
    with gateway_of(browser.app).database.session() as session:
        return session.get_one(model, 1).limits


def edit(browser: Browser, page: str, **fields: str) -> tuple[int, str]:
    browser.get(f"{page}edit/?id=1&modal=1", headers=FETCH)
    empty = dict.fromkeys(("messages_per_hour", "messages_per_day", "recipients_per_message"), "")
    answer = browser.post(f"{page}edit/?id=1&modal=1", empty | fields, headers=FETCH)
    return answer.status_code, answer.get_data(as_text=True)


def test_limits_are_set_shown_and_taken_away_again(owner: Browser, page: str) -> None:
    assert "messages an hour" in owner.get(f"{page}edit/?id=1&modal=1", headers=FETCH).get_data(as_text=True)
    assert edit(owner, page, messages_per_hour="100", messages_per_day="", recipients_per_message="5")[0] in {200, 303}
    assert limits(owner, page) == Limits(100, None, 5)
    assert "0 of 100 messages in the last hour" in owner.get(page).get_data(as_text=True)
    with gateway_of(owner.app).database.session() as session:
        noted = session.scalars(select(AuditEntry.changes).where(AuditEntry.action == "change")).all()
        assert {"messages_per_hour": [None, 100], "recipients_per_message": [None, 5]} in noted
    assert edit(owner, page)[0] in {200, 303}
    assert limits(owner, page) == Limits()
    assert "of 100 messages" not in owner.get(page).get_data(as_text=True)


@pytest.mark.parametrize("wrong", ["0", "-1", "many", "1.5", "99999999999"])
def test_a_wrong_number_is_refused_at_its_field(owner: Browser, page: str, wrong: str) -> None:
    status, text = edit(owner, page, messages_per_hour=wrong)
    assert status == 422
    assert "Give a number" in text or "Not a valid integer" in text
    assert limits(owner, page) == Limits()


def test_a_viewer_sees_the_use_and_sets_nothing(logged_in: Callable[[str], Browser], owner: Browser, page: str) -> None:
    edit(owner, page, messages_per_day="7")
    viewer = logged_in("viewer")
    assert "0 of 7 messages in the last 24 hours" in viewer.get(page).get_data(as_text=True)
    assert viewer.post(f"{page}edit/?id=1", {"messages_per_day": "8"}).status_code == 403
    assert limits(owner, page) == Limits(messages_per_day=7)


def test_a_reached_limit_is_said(owner: Browser) -> None:
    gateway = gateway_of(owner.app)
    send(gateway)
    edit(owner, "/admin/smtp-users/", messages_per_day="1")
    send(gateway)
    text = owner.get("/admin/smtp-users/").get_data(as_text=True)
    assert "1 of 1 messages in the last 24 hours: limit reached" in text
