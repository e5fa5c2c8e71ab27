"""One-time links: the first owner's, and one that an owner hands out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from tests.admin.conftest import PASSWORD, Browser
from webapp import gateway_of
from webapp.admin import init_admin
from webapp.core.services import admins
from webapp.core.services.audit import COMMAND_LINE

NEW_PASSWORD = "Even-Better-Horse?"


@pytest.fixture
def fresh(make_app: Callable[..., Flask]) -> tuple[Browser, str]:
    """A server without anybody, and its set-up link."""
    app = make_app()
    init_admin(app)
    with gateway_of(app).database.session() as session:
        token = admins.setup_link(session)
    return Browser(app), f"/setup/{token}"


def test_the_first_owner_sets_a_password_and_lands_in_the_panel(fresh: tuple[Browser, str]) -> None:
    browser, link = fresh
    page = browser.get(link)
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert "data-password-rules" in page.get_data(as_text=True)
    answer = browser.post(link, {"email": "Boss@Example.com", "password": PASSWORD})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/")
    assert "boss@example.com" in browser.get("/admin/").get_data(as_text=True)
    assert browser.get(link).status_code == 404


@pytest.mark.parametrize(
    ("email", "password", "said"),
    [
        ("boss@example.com", "short", "at least 8 characters"),
        ("boss@example.com", "nocapital-here", "capital letter"),
        ("boss@example.com", "NoSpecialHere", "special character"),
        ("boss", PASSWORD, "not an e-mail address"),
    ],
)
def test_the_server_enforces_the_rules_and_the_link_still_works(
    fresh: tuple[Browser, str], email: str, password: str, said: str
) -> None:
    browser, link = fresh
    browser.get(link)
    answer = browser.post(link, {"email": email, "password": password})
    assert answer.status_code == 422
    assert said in answer.get_data(as_text=True)
    assert browser.post(link, {"email": "boss@example.com", "password": PASSWORD}).status_code == 303


def test_a_reset_link_sets_a_password_and_logs_in(panel_app: Flask) -> None:
    with gateway_of(panel_app).database.session() as session:
        person = admins.find(session, "manager@example.com")
        token = admins.new_link(session, COMMAND_LINE, person)
    browser = Browser(panel_app)
    page = browser.get(f"/setup/{token}").get_data(as_text=True)
    assert "manager@example.com" in page
    data = {"password": NEW_PASSWORD, "email": "somebody.else@example.com"}  # the link says whose password it is
    assert browser.post(f"/setup/{token}", data).status_code == 303
    other = Browser(panel_app)
    assert other.log_in("manager@example.com").status_code == 401
    assert other.log_in("manager@example.com", NEW_PASSWORD).status_code == 303


def test_an_unknown_link_says_what_to_do(browser: Browser) -> None:
    answer = browser.get("/setup/nonsense")
    assert answer.status_code == 404
    assert "flask admin reset" in answer.get_data(as_text=True)
    assert f"[ref {answer.headers['X-Request-Id']}]" in answer.get_data(as_text=True)


def test_changing_ones_own_password_asks_for_the_old_one_and_ends_other_sessions(
    logged_in: Callable[[str], Browser],
) -> None:
    here, elsewhere = logged_in("viewer"), logged_in("viewer")
    here.get("/admin/account/")
    wrong = here.post("/admin/account/", {"current": "Not-This-1!", "password": NEW_PASSWORD})
    assert wrong.status_code == 422
    assert "not your current password" in wrong.get_data(as_text=True)
    weak = here.post("/admin/account/", {"current": PASSWORD, "password": "weak"})
    assert weak.status_code == 422
    assert here.post("/admin/account/", {"current": PASSWORD, "password": NEW_PASSWORD}).status_code == 303
    assert here.get("/admin/").status_code == 200
    assert elsewhere.get("/admin/").status_code == 303
    assert Browser(here.app).log_in("viewer@example.com", NEW_PASSWORD).status_code == 303
