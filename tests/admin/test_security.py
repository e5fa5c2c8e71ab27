"""What holds on every route: a session, a CSRF token, security headers, error pages that tell nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from tests.admin.conftest import PASSWORD, Browser
from webapp import gateway_of

POLICY = "script-src 'self'; style-src 'self'"


def routes(app: Flask, method: str) -> list[str]:
    """Every route of the panel that takes *method*, with arguments filled in."""
    rules = [rule.rule for rule in app.url_map.iter_rules() if method in rule.methods]
    one_of = [re.sub(r"<any\((\w+)[^)]*\):\w+>", r"\1", rule) for rule in rules]  # the first that it may be
    found = [re.sub(r"<[^>]+>", "1", rule) for rule in one_of]
    return [path for path in found if not path.startswith("/static/")]


def test_no_post_is_taken_without_a_csrf_token(owner: Browser) -> None:
    paths = routes(owner.app, "POST")
    assert {"/login", "/logout", "/setup/1", "/admin/smtp-users/action/", "/admin/domains/delete/"} <= set(paths)
    for path in paths:
        answer = owner.post(path, token=False)
        assert answer.status_code == 400, path
        assert "This form had expired" in answer.get_data(as_text=True), path
        assert f"[ref {answer.headers['X-Request-Id']}]" in answer.get_data(as_text=True)


def test_a_token_of_another_session_is_not_taken(logged_in: Callable[[str], Browser]) -> None:
    owner, viewer = logged_in("owner"), logged_in("viewer")
    owner.csrf_token = viewer.csrf_token
    assert owner.post("/logout").status_code == 400


def test_a_planted_form_cookie_does_not_help(owner: Browser, panel_app: Flask) -> None:
    attacker = Browser(panel_app)
    attacker.get("/login")
    planted = attacker.client.get_cookie("postlatch_form").value
    owner.client.set_cookie("postlatch_form", planted)
    owner.csrf_token = attacker.csrf_token
    assert owner.post("/logout").status_code == 400


def test_a_token_ends_with_its_session(owner: Browser) -> None:
    old = owner.csrf_token
    owner.post("/logout")
    owner.log_in("owner@example.com")
    owner.csrf_token = old
    assert owner.post("/logout").status_code == 400


def test_everything_below_admin_needs_a_session(browser: Browser) -> None:
    for path in [*routes(browser.app, "GET"), "/admin/static/x.js", "/admin/no-such-page"]:
        if path.startswith("/admin"):
            answer = browser.get(path)
            assert answer.status_code == 303, path
            assert answer.headers["Location"].startswith("/login?next=/admin"), path


def test_headers_on_pages_errors_and_redirects(owner: Browser) -> None:
    for path in ("/admin/", "/login", "/setup/x", "/no-such-page", "/admin/domains/"):
        headers = owner.get(path).headers
        assert POLICY in headers["Content-Security-Policy"], path
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store", path
        assert "Strict-Transport-Security" not in headers


def test_a_page_that_shows_a_session_has_a_form_to_log_out(owner: Browser) -> None:
    for path in ("/admin/", "/admin/domains/", "/admin/smtp-users/", "/admin/people/", "/admin/account/"):
        page = owner.get(path).get_data(as_text=True)
        assert '<form method="post" action="/logout">' in page, path
        assert not re.search(r"\son[a-z]+=|javascript:|<style|style=\"", page), path
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page)), path


def test_the_login_page_has_the_fields_that_scripts_rely_on(browser: Browser) -> None:
    page = browser.get("/login").get_data(as_text=True)
    assert {"email", "password", "csrf_token"} <= set(re.findall(r'name="([^"]+)"', page))


def test_errors_have_a_page_and_a_reference(owner: Browser) -> None:
    missing = owner.get("/no-such-page")
    assert missing.status_code == 404
    assert "There is nothing here" in missing.get_data(as_text=True)
    wrong = owner.post("/admin/")
    assert wrong.status_code == 405
    assert "GET" in wrong.headers["Allow"]
    for answer in (missing, wrong):
        assert f"[ref {answer.headers['X-Request-Id']}]" in answer.get_data(as_text=True)


def test_a_failure_of_ours_tells_nothing_of_the_inside(make_panel: Callable[..., Flask]) -> None:
    app = make_panel()

    @app.get("/boom")
    def boom() -> str:
        raise ValueError("the inside: hunter2")

    answer = Browser(app).get("/boom")
    assert answer.status_code == 500
    assert "hunter2" not in answer.get_data(as_text=True)
    assert f"[ref {answer.headers['X-Request-Id']}]" in answer.get_data(as_text=True)


def test_without_its_database_the_panel_says_so_and_comes_back(owner: Browser, tmp_path: Path) -> None:
    if gateway_of(owner.app).database.engine.dialect.name != "sqlite":
        pytest.skip("moves the file away")
    file = tmp_path / "postlatch.db"
    file.rename(tmp_path / "away.db")
    for path in ("/admin/", "/admin/smtp-users/"):
        answer = owner.get(path)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "database" in answer.get_data(as_text=True)
    refused = owner.post("/login", {"email": "owner@example.com", "password": PASSWORD})
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    (tmp_path / "away.db").rename(file)
    assert owner.get("/admin/").status_code == 200


@pytest.mark.parametrize("data", [{"search": "a\0b"}, {"search": "\ud800"}])
def test_what_no_field_can_hold_is_refused(owner: Browser, data: dict[str, str]) -> None:
    assert owner.post("/login", {"email": "a\0b@example.com", "password": "x"}).status_code == 400
    if "\0" in data["search"]:
        assert owner.get("/admin/domains/?search=a%00b").status_code == 400


@pytest.mark.parametrize("row", ["", "x", "-1", "0", "999999999999999999999", "1'", "²"])
def test_a_row_that_is_not_there_is_404(owner: Browser, row: str) -> None:
    for path in ("/admin/people/edit/", "/admin/people/reset/", "/admin/domains/edit/", "/admin/api-keys/allowed/"):
        assert owner.get(path, query_string={"id": row}).status_code == 404, path


def test_files_whose_address_changes_with_their_content_may_be_kept(browser: Browser) -> None:
    kept = browser.get("/static/vendor/tabler/tabler.min.css?v=1").headers["Cache-Control"]
    assert "immutable" in kept
    assert "immutable" not in browser.get("/static/vendor/tabler/tabler.min.css").headers["Cache-Control"]
