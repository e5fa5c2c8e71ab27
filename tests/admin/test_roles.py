"""Who may do what, asked of the server and not of the buttons."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select

from tests.admin.conftest import Browser
from tests.admin.test_security import routes
from tests.support.factories import make_api_key, make_domain, make_smtp_user
from webapp import gateway_of
from webapp.core.models import AuditEntry

#: What each role may POST to. Everybody may log out and change their own password.
OWNERS_ONLY = ("/admin/people/", "/admin/domains/1/vouch", "/admin/domains/1/withdraw", "/admin/settings/")
FOR_ALL = ("/login", "/logout", "/setup/", "/admin/account/")


@pytest.fixture
def filled(panel_app: Flask) -> Flask:
    """A domain, an SMTP user and an API key, each with id 1 of its kind."""
    gateway = gateway_of(panel_app)
    make_domain(gateway)
    make_smtp_user(gateway)
    make_api_key(gateway)
    return panel_app


def changes(app: Flask) -> list[str]:
    with gateway_of(app).database.session() as session:
        actions = session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()
    return [action for action in actions if action not in {"login", "logout"}]


def test_a_viewer_can_change_nothing(filled: Flask, logged_in: Callable[[str], Browser]) -> None:
    viewer = logged_in("viewer")
    before = changes(filled)
    for path in routes(filled, "POST"):
        if not path.startswith(FOR_ALL):
            answer = viewer.post(path, {"id": "1", "rowid": "1", "action": "delete", "name": "new.example"})
            assert answer.status_code == 403, path
            assert f"[ref {answer.headers['X-Request-Id']}]" in answer.get_data(as_text=True)
    assert changes(filled) == before


def test_a_viewer_sees_lists_but_no_form_and_no_button(filled: Flask, logged_in: Callable[[str], Browser]) -> None:
    viewer = logged_in("viewer")
    for path in ("/admin/", "/admin/domains/", "/admin/smtp-users/", "/admin/api-keys/"):
        page = viewer.get(path)
        assert page.status_code == 200, path
        assert page.get_data(as_text=True).count("<form") == 1 + page.get_data(as_text=True).count('role="search"')
    for path in (
        "/admin/domains/new/",
        "/admin/smtp-users/new/",
        "/admin/api-keys/new/",
        "/admin/smtp-users/edit/?id=1",
        "/admin/smtp-users/allowed/?id=1",
        "/admin/smtp-users/rotate/?id=1",
        "/admin/people/",
        "/admin/people/new/",
    ):
        assert viewer.get(path).status_code == 403, path


def test_a_manager_has_credentials_and_domains_but_no_people_and_no_vouching(
    filled: Flask, logged_in: Callable[[str], Browser]
) -> None:
    manager = logged_in("manager")
    for path in routes(filled, "POST"):
        if path.startswith(OWNERS_ONLY):
            assert manager.post(path, {"id": "1"}).status_code == 403, path
    assert manager.get("/admin/people/").status_code == 403
    assert "People" not in manager.get("/admin/").get_data(as_text=True)
    assert manager.post("/admin/domains/new/", {"name": "second.example", "vouch": "y"}).status_code == 303
    assert changes(filled)[-1] == "create"  # the vouching was not heard
    assert manager.post("/admin/smtp-users/disable/?id=1").status_code == 303
    assert changes(filled)[-1] == "disable"


def test_a_role_that_changes_counts_at_once(filled: Flask, logged_in: Callable[[str], Browser]) -> None:
    manager, owner = logged_in("manager"), logged_in("owner")
    assert manager.get("/admin/smtp-users/new/").status_code == 200
    assert owner.post("/admin/people/edit/?id=2", {"role": "viewer"}).status_code == 303
    assert manager.get("/admin/smtp-users/new/").status_code == 403
