"""What SMTP users and API keys have in common: the list, the lock, rotation, and what is done to several at once."""

from __future__ import annotations

from typing import Any

from flask import flash, g, get_template_attribute, redirect
from flask.typing import ResponseReturnValue
from flask_admin import expose
from flask_admin.actions import action
from markupsafe import Markup
from sqlalchemy import func, select
from sqlalchemy.orm import Query
from wtforms import BooleanField
from wtforms.validators import DataRequired, Optional, ValidationError

from webapp.admin.base import needs
from webapp.admin.cards import key_card, smtp_card
from webapp.admin.forms import UtcDateTimeField, mark_sent, was_sent
from webapp.admin.model_view import PanelModelView
from webapp.admin.scope import current_scope
from webapp.admin.sessions import actor
from webapp.admin.theme.row_actions import LinkRowAction, PostRowAction
from webapp.core.models import ApiKeyRow, CredentialRow, Domain, Refusal, SmtpUser, utcnow
from webapp.core.rules.short_causes import short_cause
from webapp.core.services import credentials
from webapp.core.services.errors import ServiceError
from webapp.core.services.why import last_of
from webapp.db import db

from .credential_forms import RotateKeyForm
from .networks import NetworksMixin
from .sending_limits import LIMIT_ARGS, LIMIT_FIELDS, LIMIT_WIDGETS, look_up_usage, set_limits, usage


def _cell(name: str) -> Any:
    def render(view: CredentialView, _context: Any, row: CredentialRow, _name: str) -> Markup:
        return get_template_attribute("panel/credentials/cells.html", name)(row, view, utcnow())

    return render


def _in_future(_form: Any, field: UtcDateTimeField) -> None:
    if field.data and field.data <= utcnow():
        raise ValidationError("This is in the past: choose a later time, or leave it empty.")


def live_domains() -> Any:
    """What the form asks for where no domain is chosen."""
    return db.session.query(Domain).filter(Domain.deleted_at.is_(None)).order_by(Domain.name)


class CredentialView(NetworksMixin, PanelModelView):
    """The common half of ``/admin/smtp-users/`` and ``/admin/api-keys/``."""

    heading = "Credentials"
    list_template = "panel/credentials/list.html"
    creates = edits = deletes = True
    shows_secret = True
    simple_list_pager = False
    action_disallowed_list = ()
    rotate_form: type[RotateKeyForm] = RotateKeyForm
    delete_question = "Programs that use it can no longer send. The history of its mail is kept."

    column_list = ("name", "note", "allowed_networks", "last_used_at", "state", "domain")
    column_formatters = {
        "name": _cell("name"),
        "note": _cell("note"),
        "allowed_networks": _cell("lock"),
        "last_used_at": _cell("last_used"),
        "state": _cell("state"),
    }
    column_labels = {
        "allowed_networks": "Allowed from",
        "last_used_at": "Last used",
        "domain": "Domain",
    }
    column_sortable_list = ("name", "note", "last_used_at", ("domain", "domain.name"))
    column_searchable_list = ("name", "note")
    column_default_sort = ("id", True)
    edit_columns = ("note", *LIMIT_FIELDS, "expires_at", "expire_now")
    edit_fields = {"expire_now": BooleanField("Expire it now")}
    form_overrides = {"expires_at": UtcDateTimeField}
    form_args = {
        "domain": {
            "label": "Sending domain",
            "query_factory": live_domains,
            "blank_text": "Choose a domain",
            "validators": [DataRequired("Choose the domain that it sends for.")],
        },
        "note": {"label": "Note", "description": "What uses it, so that you still know next year."},
        "expires_at": {
            "label": "Expires (UTC)",
            "description": "Empty: never.",
            "format": "%Y-%m-%dT%H:%M",
            "validators": [Optional()],
        },
        **LIMIT_ARGS,
    }
    form_widget_args = {
        "note": {"placeholder": "Office printer, 2nd floor"},
        "expires_at": {"step": 60},
        **LIMIT_WIDGETS,
    }

    @property
    def page_tabs(self) -> list[dict[str, Any]]:
        """SMTP users and API keys, of the chosen domain."""
        return [
            self._tab("SMTP users", "smtp_users", SmtpUser),
            self._tab("API keys", "api_keys", ApiKeyRow),
        ]

    @property
    def has_domain(self) -> bool:
        """Whether there is any domain to create a credential for."""
        return bool(current_scope().domains)

    def visible(self, query: Query) -> Query:
        """Without the deleted ones, and those of the chosen domain only."""
        query = query.filter(self.model.deleted_at.is_(None))
        chosen = current_scope().domain
        return query.filter(self.model.domain_id == chosen.id) if chosen else query

    def get_list(self, *args: Any, **kwargs: Any) -> tuple[int, list[CredentialRow]]:
        """Flask-Admin's hook: with what the cells show beside the row itself."""
        count, rows = super().get_list(*args, **kwargs)
        look_up_usage(rows)
        g.last_refusals = last_of(db.session(), [row.id for row in rows])
        return count, rows

    def get_list_row_actions(self) -> list[Any]:
        """Flask-Admin's hook."""
        self.column_extra_row_actions = [
            LinkRowAction(f"{self.endpoint}.rotate", icon="refresh", title=self.rotate_title),
            PostRowAction(
                f"{self.endpoint}.disable",
                icon="player-pause",
                title="Disable",
                confirm="Programs that use it can't send until you enable it again.",
                confirm_title=lambda row: f"Disable {self.label(row)}?",
                visible=lambda row: not row.disabled_at,
            ),
            PostRowAction(
                f"{self.endpoint}.enable", icon="player-play", title="Enable", visible=lambda row: row.disabled_at
            ),
        ]
        return super().get_list_row_actions()

    def create_form(self, obj: Any = None) -> Any:
        """Ask for the domain only where none is chosen."""
        form = super().create_form(obj)
        form.expires_at.validators = [*form.expires_at.validators, _in_future]
        if current_scope().domain:
            del form.domain
        else:
            form.domain.allow_blank = True  # Flask-Admin would preselect the first: nobody should hit it by accident
        return form

    def form_domain(self, form: Any) -> Domain:
        """The domain that a new credential is for."""
        return current_scope().domain or form.domain.data

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> ResponseReturnValue:
        """Without a domain there is nothing to send for."""
        if not self.has_domain:
            return redirect(self.get_url("domains.index_view"))
        return super().create_view()

    def created(self, result: tuple[CredentialRow, str]) -> ResponseReturnValue:
        """Show the secret, this once, in the answer to the POST: it is in no URL and no cookie."""
        return self._card(*result, rotated=False)

    def label(self, row: CredentialRow) -> str:
        """Its username, or how the key begins."""
        return row.label

    def update_row(self, form: Any, row: CredentialRow) -> None:
        """Note, limits and expiry."""
        session = db.session()
        set_limits(form, row)
        credentials.set_note(session, actor(), row, form.note.data or "")
        expires_at = utcnow() if form.expire_now.data else form.expires_at.data
        if row.expires_at is None or expires_at is None or not _same_minute(row.expires_at, expires_at):
            credentials.set_expiry(session, actor(), row, expires_at)

    def delete_row(self, row: CredentialRow) -> None:
        """Delete it; the row stays for the history."""
        credentials.delete(db.session(), actor(), row)

    @expose("/rotate/", methods=("GET", "POST"))
    @needs("manager")
    def rotate(self) -> ResponseReturnValue:
        """Give it a new secret, shown once."""
        row = self.row_or_404()
        form = self.rotate_form()
        if form.validate_on_submit():
            if was_sent(form):
                flash("It was rotated already. The new secret is shown only once: if lost, make another.", "info")
                return redirect(self.get_url(".index_view"), 303)
            try:
                secret = self.rotate_row(row, form)
                db.session.commit()
            except ServiceError as error:
                db.session.rollback()
                form.form_errors.append(str(error))
            else:
                mark_sent(form)
                return self._card(row, secret, rotated=True)
        page = self.render("panel/credentials/rotate.html", form=form, row=row, return_url=self.get_url(".index_view"))
        return page, 422 if form.errors else 200

    def rotate_row(self, row: CredentialRow, form: Any) -> str:
        """Make the new secret."""
        return credentials.rotate(db.session(), actor(), row, grace=form.grace_period)

    @expose("/end-grace/", methods=("POST",))
    def end_grace(self) -> ResponseReturnValue:
        """The old secret stops to work now."""
        row = self.row_or_404()
        return self.change(
            lambda: credentials.end_grace(db.session(), actor(), row), f"The old secret of {self.label(row)} ended."
        )

    @expose("/disable/", methods=("POST",))
    def disable(self) -> ResponseReturnValue:
        """Refuse it from now on."""
        return self._set_disabled(True, "{} was disabled.")

    @expose("/enable/", methods=("POST",))
    def enable(self) -> ResponseReturnValue:
        """Let it in again."""
        return self._set_disabled(False, "{} was enabled.")

    @action("disable", "Disable", "Programs that use them can't send until you enable them again.")
    def action_disable(self, ids: list[str]) -> None:
        """Disable several."""
        self.change_all(ids, lambda row: self._disable(row, True), self._told("disabled"))

    @action("enable", "Enable")
    def action_enable(self, ids: list[str]) -> None:
        """Enable several."""
        self.change_all(ids, lambda row: self._disable(row, False), self._told("enabled"))

    @action("delete", "Delete", "Programs that use them can no longer send. The history of their mail is kept.")
    def action_delete(self, ids: list[str]) -> None:
        """Delete several."""
        self.change_all(ids, self.delete_row, self._told("deleted"))

    usage = staticmethod(usage)

    def last_refusal(self, row: CredentialRow) -> tuple[Refusal, str] | None:
        """For the list: the last time it was refused, and why in a few words."""
        refusal = g.last_refusals.get(row.id)
        return (refusal, short_cause(refusal.code, refusal.cause)) if refusal else None

    def old_secret_uses(self, row: CredentialRow) -> list[Any]:
        """For the list: who still uses the old secret."""
        return credentials.old_secret_uses(db.session(), row)

    def _card(self, row: CredentialRow, secret: str, *, rotated: bool) -> str:
        card = smtp_card(row, secret) if isinstance(row, SmtpUser) else key_card(row, secret)
        return self.render("panel/credentials/card.html", card=card, row=row, rotated=rotated, old=row.secrets[1:])

    def _set_disabled(self, disabled: bool, told: str) -> ResponseReturnValue:
        row = self.row_or_404()
        return self.change(lambda: self._disable(row, disabled), told.format(self.label(row)))

    @staticmethod
    def _disable(row: CredentialRow, disabled: bool) -> None:
        credentials.set_disabled(db.session(), actor(), row, disabled=disabled)

    def _told(self, done: str) -> Any:
        return lambda count: f"{count} {self.noun if count == 1 else self.noun + 's'} {done}."

    def _tab(self, name: str, endpoint: str, model: type[CredentialRow]) -> dict[str, Any]:
        query = select(func.count()).select_from(model).where(model.deleted_at.is_(None))
        if chosen := current_scope().domain:
            query = query.where(model.domain_id == chosen.id)
        return {
            "name": name,
            "url": self.get_url(f"{endpoint}.index_view"),
            "active": endpoint == self.endpoint,
            "count": db.session.scalar(query),
        }


def _same_minute(one: Any, other: Any) -> bool:
    """A form's field has no seconds: saving it unchanged must not change the date."""
    return one.replace(second=0, microsecond=0) == other.replace(second=0, microsecond=0)
