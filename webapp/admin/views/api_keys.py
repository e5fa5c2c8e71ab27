"""API keys: what programs that can call a web address send with."""

from __future__ import annotations

from typing import Any

from webapp.admin.forms import OnceField
from webapp.admin.sessions import actor
from webapp.core.models import ApiKeyRow
from webapp.core.rules.api_keys import PREFIX
from webapp.core.services import credentials
from webapp.db import db

from .credentials import CredentialView


class ApiKeyView(CredentialView):
    """``/admin/api-keys/``"""

    menu_parent = "smtp_users"
    noun, menu_icon_value = "API key", "key"
    intro = "For programs that call a web address: safer than a password, since nobody guesses 256 random bits."
    create_intro = "The key is made for you and shown once. It sends for this domain only."
    create_template = "panel/credentials/create_api_key.html"
    empty_heading = "No API key yet"
    empty_text = "Create one for each program, so that you can lock one out and not all."
    rotate_title = "New key"
    create_columns = ("domain", "note", "expires_at", "once")
    create_fields = {"once": OnceField()}
    column_labels = CredentialView.column_labels | {"name": "Key"}
    form_widget_args = CredentialView.form_widget_args | {
        "note": {"placeholder": "Web shop, order confirmations", "autofocus": True}
    }

    def __init__(self) -> None:
        super().__init__(ApiKeyRow, db, name="API keys", endpoint="api_keys", url="api-keys")

    def _apply_search(self, query: Any, count_query: Any, joins: Any, count_joins: Any, search: str) -> Any:
        words = " ".join(word.removeprefix(PREFIX) for word in search.split())  # as the list shows keys
        return super()._apply_search(query, count_query, joins, count_joins, words)

    def create_row(self, form: Any) -> tuple[ApiKeyRow, str]:
        """Create it."""
        return credentials.create_api_key(
            db.session(),
            actor(),
            domain=self.form_domain(form),
            note=form.note.data or "",
            expires_at=form.expires_at.data,
        )
