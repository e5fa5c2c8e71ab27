"""People: invite, change the role, reset, disable, delete."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from sqlalchemy import select

from tests.admin.conftest import PASSWORD, Browser
from webapp import gateway_of
from webapp.core.models import Admin, AuditEntry


def person(browser: Browser, email: str) -> Admin | None:
    with gateway_of(browser.app).database.session() as session:
        return session.scalar(select(Admin).where(Admin.email == email))


def link_in(page: str) -> str:
    return re.search(r'value="http://127.0.0.1:0(/setup/[^"]+)"', page)[1]


def test_an_invited_person_chooses_a_password_with_the_link(owner: Browser) -> None:
    owner.get("/admin/people/new/")
    answer = owner.post("/admin/people/new/", {"email": "New@example.com", "role": "viewer"})
    assert answer.headers["Cache-Control"] == "no-store"
    link = link_in(answer.get_data(as_text=True))
    assert link not in owner.get("/admin/people/").get_data(as_text=True)
    assert owner.post("/admin/people/new/", {"email": "new@example.com", "role": "viewer"}).status_code == 422
    invited = Browser(owner.app)
    invited.get(link)
    assert invited.post(link, {"password": PASSWORD}).status_code == 303
    assert "new@example.com" in invited.get("/admin/").get_data(as_text=True)
    with gateway_of(owner.app).database.session() as session:
        assert all(link[7:] not in str(e.changes) + e.label for e in session.scalars(select(AuditEntry)))


@pytest.mark.parametrize("data", [{"email": "nobody", "role": "viewer"}, {"email": "x@example.com", "role": "god"}, {}])
def test_a_wrong_invitation_is_refused(owner: Browser, data: dict[str, str]) -> None:
    owner.get("/admin/people/new/")
    assert owner.post("/admin/people/new/", data).status_code == 422


def test_a_reset_link_is_made_in_a_dialog(owner: Browser, logged_in: Callable[[str], Browser]) -> None:
    manager = logged_in("manager")
    dialog = "/admin/people/reset/?id=2"
    assert "logged out everywhere" in owner.get(dialog, headers={"X-Requested-With": "fetch"}).get_data(as_text=True)
    assert manager.get("/admin/").status_code == 200
    answer = owner.post(dialog, headers={"X-Requested-With": "fetch"})
    link = link_in(answer.get_data(as_text=True))
    assert manager.get("/admin/").status_code == 303
    assert manager.get(link).status_code == 200
    assert owner.post("/admin/people/reset/?id=1").status_code == 422  # oneself


def test_disabling_and_deleting(owner: Browser, logged_in: Callable[[str], Browser]) -> None:
    viewer = logged_in("viewer")
    owner.get("/admin/people/")
    owner.post("/admin/people/disable/?id=3")
    assert viewer.get("/admin/").status_code == 303
    assert viewer.log_in("viewer@example.com").status_code == 401
    owner.post("/admin/people/enable/?id=3")
    assert viewer.log_in("viewer@example.com").status_code == 303
    owner.post("/admin/people/delete/", {"id": "3"})
    assert person(owner, "viewer@example.com") is None
    assert viewer.get("/admin/").status_code == 303


def test_nobody_locks_themselves_out(owner: Browser) -> None:
    owner.get("/admin/people/")
    owner.post("/admin/people/disable/?id=1")
    owner.post("/admin/people/delete/", {"id": "1"})
    assert owner.post("/admin/people/edit/?id=1", {"role": "viewer"}).status_code == 422
    me = person(owner, "owner@example.com")
    assert (me.role, me.disabled_at) == ("owner", None)


def test_an_owner_can_make_another_owner(owner: Browser) -> None:
    owner.get("/admin/people/")
    assert owner.post("/admin/people/edit/?id=2", {"role": "owner"}).status_code == 303
    assert person(owner, "manager@example.com").role == "owner"
