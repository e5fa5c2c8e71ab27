"""The base of the views that Flask-Admin generates from a model; see `webapp.admin.base` for all others' half."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import abort, flash, has_request_context, request
from flask.typing import ResponseReturnValue
from flask_admin import expose
from flask_admin.contrib.sqla import ModelView
from flask_admin.model.base import FormOpts
from flask_admin.model.template import BaseListRowAction, DeleteRowAction, ViewPopupRowAction, ViewRowAction
from sqlalchemy import func
from sqlalchemy.orm import Query

from webapp.core.rules.refusals import Reason, Refused
from webapp.core.services.errors import ServiceError
from webapp.db import db

from .base import PanelView
from .forms import PanelForm, mark_sent, show_error, was_sent
from .scope import current_scope
from .security import safe_next


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
    delete_done = "deleted"
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
                flash(
                    f"This {self.noun} was made already. Its secret is shown only once: if lost, make a new one.",
                    "info",
                )
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
        return self.change(lambda: self.delete_row(row), f"{self.label(row)} was {self.delete_done}.")

    def _form_page(self, template: str, form: PanelForm, **extra: Any) -> ResponseReturnValue:
        page = self.render(
            template,
            form=form,
            form_opts=FormOpts(widget_args=self.form_widget_args, form_rules=None),
            return_url=safe_next(request.values.get("url")) or self.get_url(".index_view"),
            **extra,
        )
        return page, 422 if form.errors else 200
