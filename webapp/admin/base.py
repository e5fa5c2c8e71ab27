"""The base of every view: who may open it, who may change what, the chosen domain, how changes are told.

    class MessageView(PanelModelView):          # Flask-Admin's generated CRUD on a model
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

from flask import Response, abort, flash, has_request_context, jsonify, redirect, request
from flask.typing import ResponseReturnValue
from flask_admin import Admin, expose
from flask_admin.contrib.sqla import ModelView
from flask_admin.menu import MenuView
from flask_admin.model.base import FormOpts
from flask_admin.model.template import BaseListRowAction, DeleteRowAction, ViewPopupRowAction, ViewRowAction
from sqlalchemy import func
from sqlalchemy.orm import Query

from webapp.app import gateway_of
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.services.errors import ServiceError
from webapp.db import db

from .client import is_fetch
from .forms import PanelForm, mark_sent, show_error, was_sent
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

    # The theme's words; see `webapp.admin.theme`.
    noun: str | None = None
    heading: str | None = None
    intro: str | None = None
    page_tabs: Any = None

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


class PanelModelView(PanelView, ModelView):
    """Lists, forms, deletion and bulk actions that Flask-Admin generates from a model.

    A subclass says what may be done (`creates`, `edits`, `deletes`), and does it through the services in
    `create_row`, `update_row` and `delete_row`; none of them commits. `visible` narrows what is found at all.
    """

    creates = edits = deletes = False
    form_base_class = PanelForm
    simple_list_pager = True  # no COUNT(*) unless a view knows that its table is small
    can_view_details = can_export = can_set_page_size = False
    page_size = 25
    edit_modal = True
    action_disallowed_list = ("delete",)  # Flask-Admin's own bulk deletion knows no service
    #: Columns that say something only where several domains are shown together.
    all_domains_columns = ("domain",)
    #: A form whose answer shows a secret once; sent again by a reload, it must not make another.
    shows_secret = False
    #: The fields of the two generated forms in their order, and those of them that the model doesn't have.
    create_columns: tuple[str, ...] = ()
    edit_columns: tuple[str, ...] = ()
    create_fields: dict[str, Any] = {}
    edit_fields: dict[str, Any] = {}

    can_create = property(lambda self: self.creates and self.may_change)
    can_edit = property(lambda self: self.edits and self.may_change)
    can_delete = property(lambda self: self.deletes and self.may_change)

    def visible(self, query: Query) -> Query:
        """Narrow *query* to the rows of this view and of the chosen domain."""
        return query

    def create_row(self, form: PanelForm) -> Any:
        """Make what *form* says. Raise `ServiceError`. The result goes to `created`."""
        raise NotImplementedError

    def created(self, result: Any) -> ResponseReturnValue:
        """Answer once it is committed."""
        flash(f"{result} was added.", "success")
        return self.back()

    def update_row(self, form: PanelForm, row: Any) -> None:
        """Change *row* as *form* says. Raise `ServiceError`."""
        raise NotImplementedError

    def delete_row(self, row: Any) -> None:
        """Delete *row*. Raise `ServiceError`."""
        raise NotImplementedError

    def label(self, row: Any) -> str:
        """How messages call *row*."""
        return str(row)

    @property
    def _list_columns(self) -> list[tuple[str, str]]:
        if not has_request_context() or not self.domain_scoped or current_scope().is_all:
            return self._all_list_columns
        return [column for column in self._all_list_columns if column[0] not in self.all_domains_columns]

    @_list_columns.setter
    def _list_columns(self, columns: list[tuple[str, str]]) -> None:  # Flask-Admin sets it once, at the start
        self._all_list_columns = columns

    def get_list_row_actions(self) -> list[BaseListRowAction]:
        """Flask-Admin's hook: deleting comes last, and who may only look gets no buttons that change things."""
        actions = sorted(super().get_list_row_actions(), key=lambda action: isinstance(action, DeleteRowAction))
        if self.may_change:
            return actions
        return [action for action in actions if isinstance(action, (ViewRowAction, ViewPopupRowAction))]

    def get_create_form(self) -> type[PanelForm]:
        """Flask-Admin's hook."""
        return self._scaffold(self.create_columns, self.create_fields)

    def get_edit_form(self) -> type[PanelForm]:
        """Flask-Admin's hook."""
        return self._scaffold(self.edit_columns, self.edit_fields)

    def _scaffold(self, columns: tuple[str, ...], fields: dict[str, Any]) -> type[PanelForm]:
        if not columns:
            return self.form_base_class
        self.form_columns, self.form_extra_fields = columns, fields
        return self.scaffold_form()

    def get_query(self) -> Query:
        """Flask-Admin's hook, for lists and bulk actions."""
        return self.visible(db.session.query(self.model))

    def get_count_query(self) -> Query:
        """Flask-Admin's hook, where a view wants a count."""
        return self.visible(db.session.query(func.count()).select_from(self.model))

    def get_one(self, id: Any) -> Any:  # noqa: A002 - Flask-Admin's name
        """The row with that key, if this view shows it."""
        key = self.model.__mapper__.primary_key[0]
        if key.type.python_type is int:
            if not str(id).isascii() or not str(id).isdigit() or len(str(id)) > 9:
                return None
            id = int(id)  # noqa: A001
        return self.get_query().filter(key == id).one_or_none()

    def row_or_404(self) -> Any:
        """The row that the request's ``id`` names."""
        row = self.get_one(request.values.get("id", ""))
        if row is None:
            abort(404)
        return row

    def rows(self, ids: list[str]) -> list[Any]:
        """The rows that a bulk action is for; those that are gone are left out."""
        return [row for row in map(self.get_one, ids) if row is not None]

    def is_action_allowed(self, name: str) -> bool:
        """Bulk actions are changes."""
        return self.may_change and super().is_action_allowed(name)

    def change_all(self, ids: list[str], work: Callable[[Any], Any], told: Callable[[int], str]) -> None:
        """Do *work* to each row of a bulk action, all or none; Flask-Admin then goes back to the list."""
        rows = self.rows(ids)
        try:
            for row in rows:
                work(row)
            db.session.commit()
        except ServiceError as error:
            db.session.rollback()
            flash(str(error), "danger")
        else:
            flash(told(len(rows)), "success")

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> ResponseReturnValue:
        """The generated form for a new row."""
        if not self.can_create:
            raise Refused(Reason.ROLE)
        form = self.create_form()
        if self.validate_form(form):
            if self.shows_secret and was_sent(form):
                flash(f"This {self.noun} was made already, and its secret is shown only once.", "info")
                return self.back()
            try:
                result = self.create_row(form)
                db.session.commit()
            except ServiceError as error:
                db.session.rollback()
                show_error(form, error)
            else:
                if self.shows_secret:
                    mark_sent(form)
                return self.created(result)
        modal = self.create_modal and request.args.get("modal")
        return self._form_page(self.create_modal_template if modal else self.create_template, form)

    @expose("/edit/", methods=("GET", "POST"))
    def edit_view(self) -> ResponseReturnValue:
        """The generated form for a row."""
        if not self.can_edit:
            raise Refused(Reason.ROLE)
        row = self.row_or_404()
        form = self.edit_form(obj=row)
        if self.validate_form(form):
            label = self.label(row)
            try:
                self.update_row(form, row)
                db.session.commit()
            except ServiceError as error:
                db.session.rollback()
                show_error(form, error)
            else:
                flash(f"{label} was changed.", "success")
                return self.back()
        modal = self.edit_modal and request.args.get("modal")
        return self._form_page(self.edit_modal_template if modal else self.edit_template, form, model=row)

    @expose("/delete/", methods=("POST",))
    def delete_view(self) -> ResponseReturnValue:
        """Delete one row; the page has asked first."""
        if not self.can_delete:
            raise Refused(Reason.ROLE)
        row = self.row_or_404()
        return self.change(lambda: self.delete_row(row), f"{self.label(row)} was deleted.")

    def _form_page(self, template: str, form: PanelForm, **extra: Any) -> ResponseReturnValue:
        page = self.render(
            template,
            form=form,
            form_opts=FormOpts(widget_args=self.form_widget_args, form_rules=None),
            return_url=safe_next(request.values.get("url")) or self.get_url(".index_view"),
            **extra,
        )
        return page, 422 if form.errors else 200
