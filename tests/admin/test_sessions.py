"""Logging in and out, and what ends a session."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from tests.admin.conftest import PASSWORD, Browser
from webapp import gateway_of
from webapp.core.models import AdminSession, AuditEntry, FailedAttempt, Refusal, utcnow
from webapp.core.services import admins
from webapp.core.services.audit import COMMAND_LINE

COOKIE = "postlatch_session"


def rows(app: Flask, model: type) -> list:
    with gateway_of(app).database.session() as session:
        return list(session.scalars(select(model)))


def test_root_leads_to_the_panel_and_the_panel_to_login(browser: Browser) -> None:
    assert browser.get("/").headers["Location"] == "/admin/"
    answer = browser.get("/admin/domains/?search=x")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/login?next=/admin/domains/?search%3Dx"


def test_login_leads_where_one_wanted_to_go(browser: Browser) -> None:
    browser.get("/login")
    answer = browser.post("/login?next=/admin/domains/", {"email": "Owner@Example.com ", "password": PASSWORD})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/domains/")
    assert browser.get("/admin/domains/").status_code == 200
    assert browser.get("/login?next=/admin/people/").headers["Location"] == "/admin/people/"


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/\t/evil",
    ],
)
def test_next_leads_only_to_ourselves(browser: Browser, target: str) -> None:
    browser.get("/login")
    answer = browser.client.post(
        "/login",
        query_string={"next": target},
        data={"email": "owner@example.com", "password": PASSWORD, "csrf_token": browser.csrf_token},
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/")


def test_the_cookie_is_random_hidden_from_scripts_and_only_its_digest_is_stored(browser: Browser) -> None:
    browser.client.set_cookie(COOKIE, "chosen-by-an-attacker")
    answer = browser.log_in("owner@example.com")
    header = next(h for h in answer.headers.getlist("Set-Cookie") if h.startswith(COOKIE))
    assert "HttpOnly" in header
    assert "SameSite=Lax" in header
    assert "Path=/" in header
    assert "Secure" not in header
    token = browser.client.get_cookie(COOKIE).value
    assert token != "chosen-by-an-attacker"
    assert len(token) >= 43
    stored = rows(browser.app, AdminSession)
    assert [token.encode() in (s.token_digest, s.user_agent.encode()) for s in stored] == [False]


def test_under_https_the_cookies_are_secure_and_the_browser_is_told_to_stay(make_panel: Callable[..., Flask]) -> None:
    browser = Browser(make_panel(public_url="https://mail.example.org"))
    page = browser.client.get("/login", base_url="https://mail.example.org")
    assert "max-age=" in page.headers["Strict-Transport-Security"]
    assert "Secure" in page.headers["Set-Cookie"]
    browser._seen(page)
    answer = browser.post(
        "/login",
        {"email": "owner@example.com", "password": PASSWORD},
        base_url="https://mail.example.org",
        headers={"Referer": "https://mail.example.org/login"},
    )
    assert answer.status_code == 303
    assert all("Secure" in header for header in answer.headers.getlist("Set-Cookie"))


def test_each_login_has_a_new_token_and_ends_the_one_it_replaces(owner: Browser) -> None:
    first = owner.client.get_cookie(COOKIE).value
    owner.post("/login", {"email": "owner@example.com", "password": PASSWORD})
    assert owner.client.get_cookie(COOKIE).value != first
    assert len(rows(owner.app, AdminSession)) == 1


def test_logging_out_ends_the_session_on_the_server(owner: Browser) -> None:
    token = owner.client.get_cookie(COOKIE).value
    assert owner.get("/logout").status_code == 405
    assert owner.post("/logout").headers["Location"] == "/login"
    assert rows(owner.app, AdminSession) == []
    thief = owner.app.test_client()
    thief.set_cookie(COOKIE, token)
    assert thief.get("/admin/").status_code == 303


@pytest.mark.parametrize("ended", ["disabled", "reset", "deleted"])
def test_what_happens_to_a_person_ends_their_session(logged_in: Callable[[str], Browser], ended: str) -> None:
    viewer = logged_in("viewer")
    assert viewer.get("/admin/").status_code == 200
    with gateway_of(viewer.app).database.session() as session:
        person = admins.find(session, "viewer@example.com")
        if ended == "disabled":
            admins.set_disabled(session, COMMAND_LINE, person, disabled=True)
        elif ended == "reset":
            admins.new_link(session, COMMAND_LINE, person)
        else:
            admins.remove(session, COMMAND_LINE, person)
    assert viewer.get("/admin/").status_code == 303


@pytest.mark.parametrize(
    ("column", "ago"), [("last_seen_at", timedelta(hours=12, minutes=1)), ("expires_at", timedelta(seconds=1))]
)
def test_sessions_end_after_idle_hours_and_in_any_case_after_days(owner: Browser, column: str, ago: timedelta) -> None:
    with gateway_of(owner.app).database.session() as session:
        session.execute(update(AdminSession).values(**{column: utcnow() - ago}))
    assert owner.get("/admin/").status_code == 303


def test_use_keeps_a_session_alive(owner: Browser) -> None:
    before = utcnow() - timedelta(hours=11)
    with gateway_of(owner.app).database.session() as session:
        session.execute(update(AdminSession).values(last_seen_at=before))
    assert owner.get("/admin/").status_code == 200
    gateway_of(owner.app).ledger.close()  # the touch is written behind the page's back
    assert rows(owner.app, AdminSession)[0].last_seen_at > before + timedelta(hours=10)


@pytest.mark.parametrize(("email", "password"), [("owner@example.com", "Wrong-One!"), ("nobody@example.com", PASSWORD)])
def test_a_wrong_login_says_one_thing_with_a_reference(browser: Browser, email: str, password: str) -> None:
    answer = browser.log_in(email, password)
    text = answer.get_data(as_text=True)
    assert answer.status_code == 401
    assert "E-mail address or password not accepted" in text
    assert f"[ref {answer.headers['X-Request-Id']}]" in text
    assert PASSWORD not in text
    gateway_of(browser.app).ledger.close()
    assert [r.reference for r in rows(browser.app, Refusal)] == [answer.headers["X-Request-Id"]]
    assert [f.kind for f in rows(browser.app, FailedAttempt)] == ["admin"]


def test_an_empty_form_is_no_failed_attempt(browser: Browser) -> None:
    assert browser.log_in("", "").status_code == 422
    gateway_of(browser.app).ledger.close()
    assert rows(browser.app, FailedAttempt) == []


def test_a_locked_address_hears_429_for_right_and_wrong_passwords(make_panel: Callable[..., Flask]) -> None:
    browser = Browser(make_panel(lockout_failures=3, lockout_window="15m", lockout_first="5m"))
    for attempt in range(3):
        assert browser.log_in("owner@example.com", f"Wrong-{attempt}!").status_code == 401
    for password in (PASSWORD, "Wrong-9!"):
        answer = browser.log_in("owner@example.com", password)
        assert answer.status_code == 429
        assert 290 <= int(answer.headers["Retry-After"]) <= 300
    assert COOKIE not in str(browser.client._cookies)


def test_logins_and_logouts_are_audited(owner: Browser) -> None:
    owner.post("/logout")
    made = [(e.actor, e.action) for e in rows(owner.app, AuditEntry) if e.action in {"login", "logout"}]
    assert made == [("owner@example.com", "login"), ("owner@example.com", "logout")]


def test_before_anybody_exists_login_tells_of_the_setup_link(make_app: Callable[..., Flask]) -> None:
    from webapp.admin import init_admin

    app = make_app()
    init_admin(app)
    assert "make run" in Browser(app).get("/login").get_data(as_text=True)
