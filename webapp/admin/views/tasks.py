"""What the worker does for a page: its state, polled until it has ended.

A view enqueues (`webapp.core.services.tasks`) and leads to ``tasks.task`` with ``url`` naming the way back, or shows
the box on a page of its own: ``{% include "panel/tasks/box.html" %}`` with `task` in the context. What a kind's
result looks like is ``panel/tasks/<kind>.html``, which gets `task` and, from when there is one, `result`.
"""

from __future__ import annotations

from flask import abort, request
from flask_admin import BaseView, expose

from webapp.admin.base import PanelView, may
from webapp.admin.security import safe_next
from webapp.admin.sessions import current_admin
from webapp.core.models import Task
from webapp.core.services import tasks
from webapp.db import db

#: Kind to the page's heading.
HEADINGS = {"relay_test": "Relay test"}


class TaskView(PanelView, BaseView):
    """``/admin/tasks/``: for whoever asked for it, and for owners."""

    domain_scoped = False

    def __init__(self) -> None:
        super().__init__(name="Tasks", endpoint="tasks", url="tasks")

    def is_visible(self) -> bool:
        """Other pages lead here."""
        return False

    @expose("/")
    def index(self) -> str:
        """There is no list of them."""
        abort(404)

    @expose("/<int:task_id>/")
    def task(self, task_id: int) -> str:
        """A page with its state."""
        task = self._task_or_404(task_id)
        heading, back = HEADINGS.get(task.kind, self.name), safe_next(request.args.get("url"))
        return self.render("panel/tasks/task.html", task=task, heading=heading, back=back)

    @expose("/<int:task_id>/state")
    def state(self, task_id: int) -> str:
        """Its state alone: pages ask for it until it has ended."""
        return self.render("panel/tasks/state.html", task=self._task_or_404(task_id))

    def _task_or_404(self, task_id: int) -> Task:
        task = tasks.find(db.session(), task_id)
        admin = current_admin()
        if task is None or not (may("owner") or (admin and task.requested_by == admin.email)):
            abort(404)
        return task
