"""Locks: what is locked now, why, until when, and the button that ends it."""

from __future__ import annotations

from flask import flash, redirect, request
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose

from webapp.admin.base import PanelView
from webapp.admin.security import safe_next
from webapp.admin.sessions import actor
from webapp.app import gateway_of
from webapp.core.models import Lock, utcnow
from webapp.core.services import attempts, locks
from webapp.core.services.failures import ADDRESS
from webapp.db import db

from .attempts import names_of, tabs

_MOST_SHOWN = 100


class LockView(PanelView, BaseView):
    """``/admin/locks/``"""

    domain_scoped = False
    menu_parent = "attempts"
    heading = "Failed attempts"
    intro = "Locks end by themselves. Unlock what you know, once the program there has the right password."

    def __init__(self) -> None:
        super().__init__(name="Locks", endpoint="locks", url="locks", menu_icon_value="lock")

    @property
    def page_tabs(self) -> list[dict[str, object]]:
        """The log's."""
        return tabs(request.endpoint, request.view_args)

    @expose("/")
    def index(self) -> str:
        """The locks that hold now, newest first."""
        session = db.session()
        held = locks.in_force(session, utcnow(), limit=_MOST_SHOWN)
        return self.render(
            "panel/attempts/locks.html",
            held=held,
            behind={lock.id: attempts.behind(session, lock) for lock in held},
            names=names_of([lock.address for lock in held if lock.address and "/" not in lock.address]),
            current=gateway_of().preferences.current(),
        )

    @expose("/unlock", methods=("POST",))
    def unlock(self) -> ResponseReturnValue:
        """End one lock; with an address's, those of log-ins from there."""
        number, session, now = request.form.get("id", ""), db.session(), utcnow()
        known = number.isascii() and number.isdigit() and len(number) <= 9
        lock = session.get(Lock, int(number)) if known else None
        if lock is None or lock.cleared_at or lock.locked_until <= now:
            flash("That lock has ended already.", "info")
        else:
            if lock.scope == ADDRESS:  # with what else keeps the people there out
                locks.clear(session, actor(), now, ip=lock.subject.partition("/")[0])
            else:
                locks.unlock(session, actor(), lock, now)
            session.commit()
            flash(f"{lock} is unlocked. If the wrong passwords go on, it is locked again.", "success")
        return redirect(safe_next(request.form.get("url")) or self.get_url(".index"), 303)
