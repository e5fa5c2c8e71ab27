"""Suppressed addresses: the list, adding, releasing, and the way in and out as CSV."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, get_template_attribute, redirect
from flask.typing import ResponseReturnValue
from flask_admin import expose
from flask_admin.actions import action
from flask_wtf.file import FileField
from markupsafe import Markup
from sqlalchemy.orm import Query
from wtforms import SelectField, TextAreaField
from wtforms.validators import InputRequired

from webapp.admin.base import needs
from webapp.admin.forms import PanelForm, show_error
from webapp.admin.model_view import PanelModelView
from webapp.admin.scope import current_scope
from webapp.admin.sessions import actor
from webapp.admin.theme.formatters import time_cell
from webapp.core.models import Suppression
from webapp.core.services import domains, suppressions
from webapp.core.services.errors import ServiceError
from webapp.db import db

from .credentials import live_domains

#: Octets of an uploaded list.
LARGEST_FILE = 8 * 1024 * 1024
#: Of the lines that were no address, how many are named.
MOST_NAMED = 5


def _cell(name: str) -> Any:
    def render(_view: Any, _context: Any, row: Suppression, _name: str) -> Markup:
        return get_template_attribute("panel/suppressions/cells.html", name)(row)

    return render


class ImportForm(PanelForm):
    """A file or pasted lines, for one domain."""

    domain = SelectField("Sending domain", validators=[InputRequired("Choose the domain.")])
    file = FileField("CSV file", description="With a column email, or one address a line.")
    pasted = TextAreaField("Or paste addresses", render_kw={"rows": 6, "spellcheck": "false"})

    def text(self) -> str:
        """What was sent. Raise `ServiceError`."""
        upload = self.file.data
        if not upload or not getattr(upload, "filename", ""):
            return self.pasted.data or ""
        content = upload.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ServiceError("The file is larger than 8 MB: split it.", field="file")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return content.decode("cp1252", "replace")  # what spreadsheets write on Windows


class SuppressionView(PanelModelView):
    """``/admin/suppressions/``"""

    noun, menu_icon_value = "suppressed address", "ban"
    intro = (
        "Addresses that get no more mail from you: mail to them bounced, or somebody put them here. "
        "A message to one of them is accepted and ends at once as failed."
    )
    creates = deletes = True
    create_label = "Suppress an address"
    list_template = "panel/suppressions/list.html"
    empty_heading = "Nobody is suppressed"
    empty_text = "An address whose server says that it doesn't exist appears here by itself."
    delete_as, delete_done = ("Release", "player-play", "primary"), "released"
    delete_question = "Mail to this address goes out again. If it bounces once more, it comes back here."

    column_list = ("email", "kind", "reason", "since", "domain")
    column_labels = {"email": "Address", "kind": "Why", "reason": "Details", "since": "Since", "domain": "Domain"}
    column_formatters = {"kind": _cell("kind"), "reason": _cell("reason"), "since": time_cell}
    column_sortable_list = ("email", "since", ("domain", "domain.name"))
    column_searchable_list = ("email",)
    column_default_sort = ("since", True)
    create_columns = ("domain", "email", "reason")
    form_args = {
        "domain": {
            "label": "Sending domain",
            "query_factory": live_domains,
            "blank_text": "Choose a domain",
            "validators": [InputRequired("Choose the domain.")],
        },
        "email": {"label": "Address", "validators": [InputRequired("Type the address.")]},
        "reason": {"label": "Note", "description": "Why, for whoever looks at it later."},
    }
    form_widget_args = {
        "email": {"autocomplete": "off", "autofocus": True, "spellcheck": "false", "inputmode": "email"},
        "reason": {"rows": 2},
    }

    def __init__(self) -> None:
        super().__init__(Suppression, db, name="Suppressions", endpoint="suppressions", url="suppressions")

    def visible(self, query: Query) -> Query:
        """Those in force, of the chosen domain."""
        query = query.filter(Suppression.since.is_not(None))
        chosen = current_scope().domain
        return query.filter(Suppression.domain_id == chosen.id) if chosen else query

    def create_form(self, obj: Any = None) -> Any:
        """With the domain to choose, unless one is chosen."""
        form = super().create_form(obj)
        if current_scope().domain:
            del form.domain
        return form

    def create_row(self, form: Any) -> Suppression:
        """Put it there."""
        domain = current_scope().domain or form.domain.data
        return suppressions.add(db.session(), actor(), domain, form.email.data, form.reason.data or "")

    def delete_row(self, row: Suppression) -> None:
        """Let mail through again."""
        suppressions.release(db.session(), actor(), row)

    @action("release", "Release", "Mail to these addresses goes out again.")
    def action_release(self, ids: list[str]) -> None:
        """Release several."""
        self.change_all(ids, self.delete_row, lambda count: f"{count} released.")

    @expose("/import", methods=("GET", "POST"))
    @needs("manager")
    def import_list(self) -> ResponseReturnValue:
        """Take a list that another service kept."""
        scope, form = current_scope(), ImportForm()
        if scope.domain:
            del form.domain
        else:
            form.domain.choices = [(domain.name, domain.name) for domain in scope.domains]
        if form.validate_on_submit():
            try:
                domain = scope.domain or domains.find(db.session(), form.domain.data)
                done = suppressions.import_csv(db.session(), actor(), domain, form.text())
                db.session.commit()
            except ServiceError as error:
                db.session.rollback()
                show_error(form, error)
            else:
                _tell(done)
                return redirect(self.get_url(".index_view"), 303)
        page = self.render("panel/suppressions/import.html", form=form, return_url=self.get_url(".index_view"))
        return page, 422 if form.errors else 200

    @expose("/export.csv")
    def export_list(self) -> ResponseReturnValue:
        """The list that is on screen, whole."""
        scope = current_scope()
        chosen = [scope.domain] if scope.domain else scope.domains
        name = f"suppressions-{scope.domain.name}.csv" if scope.domain else "suppressions.csv"
        text = "".join(suppressions.export_csv(db.session(), [domain.id for domain in chosen]))
        return Response(text, mimetype="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _tell(done: suppressions.Imported) -> None:
    """What an import did, with the first of the lines that were no address."""
    known = f", {done.known} were here already" if done.known else ""
    flash(f"{done.added} {'address was' if done.added == 1 else 'addresses were'} added{known}.", "success")
    if done.wrong:
        more = f", and {len(done.wrong) - MOST_NAMED} more" if len(done.wrong) > MOST_NAMED else ""
        flash(f"Left out, since they are no addresses: {'; '.join(done.wrong[:MOST_NAMED])}{more}.", "warning")
