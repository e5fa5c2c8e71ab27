"""The base of every view: who may open it, who may change what, the chosen domain, how changes are told.

    class MessageView(PanelModelView):          # Flask-Admin's generated CRUD; see `model_view`
        noun, menu_icon_value = "message", "mail"
    class SettingsView(PanelView, BaseView):    # a page of its own
        role_to_open = role_to_change = "owner"
        domain_scoped = False
        @expose("/")
        def index(self): return self.render("settings/index.html", form=…)

A view is added in `webapp.admin.init_admin`. Below ``/admin/`` everybody is logged in already, and each POST has
passed the CSRF check. What a handler needs beyond the view's roles it says with ``@needs("owner")``.

Changes go through the services, which audit: ``self.change(row, lambda: service(db.session(), actor(), …), told)``
commits, or rolls back and shows the `ServiceError`. Every `url_for`/`get_url` to a panel view keeps ``?domain=``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response, flash, jsonify, redirect, request
from flask_admin import Admin
from flask_admin.menu import MenuView

from webapp.app import gateway_of
from webapp.core.models import utcnow
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.services import alerts
from webapp.core.services.errors import ServiceError
from webapp.db import db

from .client import is_fetch
from .scope import choices, current_scope
from .security import safe_next
from .sessions import current_admin

_RANKS = {"viewer": 0, "manager": 1, "owner": 2}
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_Handler = TypeVar("_Handler", bound=Callable[..., Any])


def may(role: str) -> bool:
    """Whether the logged-in admin has *role* or a higher one."""
    admin = current_admin()
    return admin is not None and _RANKS.get(admin.role, -1) >= _RANKS[role]


def needs(role: str) -> Callable[[_Handler], _Handler]:
    """Say that a handler, also its GET, is for *role* and above. Goes below ``@expose``."""

    def mark(handler: _Handler) -> _Handler:
        handler.needed_role = role  # type: ignore[attr-defined]
        return handler

    return mark


class Panel(Admin):
    """Flask-Admin's registry. Its menu is built for each request, since the URLs carry the chosen domain."""

    def _add_view_to_menu(self, view: Any) -> None:
        entry = MenuView(view.name, view, cache=False)
        if view.menu_parent:
            next(other for other in self._views if other.endpoint == view.menu_parent).menu.add_child(entry)
        else:
            self.add_menu_item(entry, view.category)

    @property
    def endpoints(self) -> set[str]:
        """The names of the views' blueprints."""
        return {view.endpoint for view in self._views}


class PanelView:
    """Mixed into each view, before Flask-Admin's own class."""

    #: Who may open the view, and who may send it a POST.
    role_to_open = "viewer"
    role_to_change = "manager"
    #: Whether the domain selector means anything here.
    domain_scoped = True
    #: The endpoint of the view whose menu entry stands for this one, too.
    menu_parent: str | None = None
    #: The heading in the menu that it stands below.
    menu_group: str | None = None

    # The theme's words; see `webapp.admin.theme`.
    noun: str | None = None
    heading: str | None = None
    intro: str | None = None
    page_tabs: Any = None
    menu_icon_value: str | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Flask-Admin would put None over what the class says.
        kwargs.setdefault("menu_icon_value", type(self).menu_icon_value)
        kwargs.setdefault("category", type(self).menu_group)
        super().__init__(*args, **kwargs)

    def is_accessible(self) -> bool:
        """Whether the menu shows it."""
        return may(self.role_to_open)

    @property
    def may_change(self) -> bool:
        """Whether the logged-in admin may change things here; pages show their buttons accordingly."""
        return may(self.role_to_change)

    def _handle_view(self, name: str, **_: Any) -> None:
        """Flask-Admin calls this before each handler."""
        needed = [self.role_to_open, getattr(getattr(self, name), "needed_role", "viewer")]
        if request.method not in _SAFE_METHODS:
            needed.append(self.role_to_change)
        if not all(map(may, needed)):
            raise Refused(Reason.ROLE)
        if self.domain_scoped:
            current_scope()

    def render(self, template: str, **kwargs: Any) -> str:
        """Render with what the theme wants to know."""
        scope = current_scope() if self.domain_scoped else None
        kwargs.setdefault("current_user", _User(current_admin()))
        kwargs.setdefault("domain_choices", choices(self._selector_endpoint()) if self.domain_scoped else [])
        kwargs.setdefault("current_domain", scope.domain.name if scope and scope.domain else None)
        kwargs.setdefault("delivery_mode", gateway_of().preferences.current().delivery)
        if "unread_alerts" not in kwargs:
            kwargs["unread_alerts"] = alerts.unread(db.session(), current_admin(), utcnow())
        kwargs.setdefault("password_url", self.get_url("account.index"))
        return super().render(template, **kwargs)  # type: ignore[misc]

    def back(self) -> Response:
        """Go to where the form came from, or have the page behind a dialog read again."""
        if is_fetch():
            return jsonify(reload=True)
        return redirect(safe_next(request.values.get("url")) or self.get_url(f".{self._default_view}"), 303)  # type: ignore

    def change(self, work: Callable[[], Any], told: str) -> Response:
        """Do *work* (calls of services), commit, say *told*; or say why not. Go back either way."""
        try:
            work()
            db.session.commit()
        except ServiceError as error:
            db.session.rollback()
            flash(str(error), "danger")
        else:
            flash(told, "success")
        return self.back()

    def _selector_endpoint(self) -> str:
        """The selector leads to the same list or form; from a page about one thing, to the list."""
        name = (request.endpoint or "").partition(".")[2]
        own = name if name in {"index", "index_view", "create_view"} else self._default_view  # type: ignore
        return f"{self.endpoint}.{own}"  # type: ignore[attr-defined]


class _User:
    """The logged-in admin as the theme's user menu wants them."""

    is_authenticated = True

    def __init__(self, admin: Any) -> None:
        self.email, self.role = admin.email, admin.role
