"""The pages about what the worker does for somebody: whose they are, and what they show."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from tests.admin.conftest import Browser
from webapp import gateway_of
from webapp.core.models import utcnow
from webapp.core.services import tasks


def ask(app: Flask, by: str = "manager@example.com") -> int:
    with gateway_of(app).database.session() as session:
        return tasks.enqueue(session, "greet", {}, requested_by=by)


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("manager", 200), ("viewer", 404)])
def test_a_task_is_for_whoever_asked_and_for_owners(
    panel_app: Flask, logged_in: Callable[[str], Browser], role: str, status: int
) -> None:
    task_id, browser = ask(panel_app), logged_in(role)

    assert browser.get(f"/admin/tasks/{task_id}/").status_code == status
    assert browser.get(f"/admin/tasks/{task_id}/state").status_code == status
    assert browser.get(f"/admin/tasks/{task_id + 1}/").status_code == 404


def test_the_page_polls_until_the_task_has_ended(panel_app: Flask, owner: Browser) -> None:
    task_id = ask(panel_app)
    page = owner.get(f"/admin/tasks/{task_id}/?url=/admin/settings/").get_data(as_text=True)
    assert f'data-poll-url="/admin/tasks/{task_id}/state"' in page
    assert 'href="/admin/settings/"' in page
    assert "None" not in page
    assert "data-poll-done" not in owner.get(f"/admin/tasks/{task_id}/state").get_data(as_text=True)

    with gateway_of(panel_app).database.session() as session:
        tasks.claim(session, lease="one", kinds=["greet"], limit=1, now=utcnow())
        tasks.finish(session, task_id, lease="one", result={"greeting": "<Hello>"})

    state = owner.get(f"/admin/tasks/{task_id}/state").get_data(as_text=True)
    assert "data-poll-done" in state
    assert "&lt;Hello&gt;" in state
