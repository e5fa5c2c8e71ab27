"""Sending domains: add, prove or vouch for, delete."""

from __future__ import annotations

from typing import Any

from flask import flash, get_template_attribute, redirect, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from sqlalchemy.orm import Query
from wtforms import BooleanField
from wtforms.validators import InputRequired

from webapp.admin.base import may
from webapp.admin.model_view import PanelModelView
from webapp.admin.scope import ARGUMENT
from webapp.admin.sessions import actor
from webapp.admin.theme.formatters import time_cell
from webapp.app import gateway_of
from webapp.core.models import Domain
from webapp.core.services import dkim, domains
from webapp.db import db

from .domain_page import DomainPageMixin, credential_count, report_of
from .sending_limits import LIMIT_ARGS, LIMIT_FIELDS, LIMIT_WIDGETS, look_up_usage, set_limits, usage


def _state(view: DomainView, _context: Any, domain: Domain, _name: str) -> Markup:
    mode = gateway_of().preferences.current().delivery
    return get_template_attribute("panel/domains/cells.html", "state")(report_of(domain), mode, view)


def _name(view: DomainView, _context: Any, domain: Domain, _column: str) -> Markup:
    return get_template_attribute("panel/domains/cells.html", "name")(domain, view)


def _credentials(view: DomainView, _context: Any, domain: Domain, _name: str) -> Markup:
    url = view.get_url("smtp_users.index_view", domain=domain.name)
    return get_template_attribute("panel/domains/cells.html", "credentials")(credential_count(domain), url)


def _sent(_view: DomainView, _context: Any, domain: Domain, _name: str) -> Markup:
    return get_template_attribute("panel/sending_limits.html", "limits")(domain, usage(domain))


class DomainView(DomainPageMixin, PanelModelView):
    """``/admin/domains/``"""

    noun, menu_icon_value = "sending domain", "world"
    intro = "Mail is sent from these domains. Each credential belongs to one of them."
    create_label = "Add domain"
    create_submit = "Add domain"
    empty_heading = "Add your first sending domain"
    empty_text = "The part after the @ of your senders' addresses, for example example.org."
    delete_question = "Its messages stay in the list. A domain that still has credentials can't be deleted."
    domain_scoped = False  # it shows them all
    creates = edits = deletes = True
    simple_list_pager = False

    column_list = ("name", "state", "credentials", "sent", "created_at")
    column_labels = {"name": "Domain", "sent": "Sending limits", "created_at": "Added"}
    column_formatters = {
        "name": _name,
        "state": _state,
        "credentials": _credentials,
        "sent": _sent,
        "created_at": time_cell,
    }
    column_sortable_list = ("name", "created_at")
    column_searchable_list = ("name",)
    column_default_sort = "name"
    create_columns = ("name", "vouch")
    create_fields = {
        "vouch": BooleanField(
            "I vouch for it",
            description="This domain is mine to send from: let its mail out without waiting for a DNS record.",
        )
    }
    form_args = {
        "name": {
            "label": "Domain name",
            "description": "Without the part before the @, for example example.org.",
            "validators": [InputRequired("Type the domain's name.")],
        },
        **LIMIT_ARGS,
        "messages_per_hour": LIMIT_ARGS["messages_per_hour"] | {"description": "Of all its credentials together."},
    }
    form_widget_args = {
        "name": {"placeholder": "example.org", "autocomplete": "off", "autofocus": True},
        **LIMIT_WIDGETS,
    }
    edit_columns = LIMIT_FIELDS
    edit_intro = "Limits for all of its credentials together."

    def __init__(self) -> None:
        super().__init__(Domain, db, name="Domains", endpoint="domains", url="domains")

    def visible(self, query: Query) -> Query:
        """Without the deleted ones."""
        return query.filter(Domain.deleted_at.is_(None))

    def create_form(self, obj: Any = None) -> Any:
        """Only an owner may vouch."""
        form = super().create_form(obj)
        if not may("owner"):
            del form.vouch
        return form

    def create_row(self, form: Any) -> Domain:
        """Add it."""
        vouch = "vouch" in form and form.vouch.data
        domain = domains.add(db.session(), actor(), form.name.data, vouch=vouch)
        dkim.ensure(db.session(), gateway_of().vault, domain)
        return domain

    def created(self, result: Domain) -> ResponseReturnValue:
        """What comes next are its records."""
        flash(f"{result.name} was added. Now publish its records, and create a credential for your program.", "success")
        return redirect(self.get_url(".domain", domain_id=result.id, domain=None, task=self.ask_for_check(result)), 303)

    def update_row(self, form: Any, row: Domain) -> None:
        """The limits of all its credentials together."""
        set_limits(form, row)

    def get_list(self, *args: Any, **kwargs: Any) -> tuple[int, list[Domain]]:
        """Flask-Admin's hook: with what the cells show beside the row itself."""
        count, rows = super().get_list(*args, **kwargs)
        look_up_usage(rows)
        return count, rows

    def delete_row(self, row: Domain) -> None:
        """Delete it, unless something still uses it."""
        domains.delete(db.session(), actor(), row)

    def back(self) -> Any:
        """To the domain's page, or to the list; the chosen domain may just have been deleted."""
        if (request.view_args or {}).get("domain_id"):
            return super().back()
        chosen = request.args.get(ARGUMENT)
        live = any(domain.name == chosen for domain in domains.live(db.session()))
        return redirect(self.get_url(".index_view", domain=chosen if live else None), 303)
