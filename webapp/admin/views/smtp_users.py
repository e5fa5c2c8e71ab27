"""SMTP users: what programs that speak SMTP log in with."""

from __future__ import annotations

from typing import Any

from wtforms.validators import InputRequired

from webapp.admin.forms import OnceField
from webapp.admin.scope import current_scope
from webapp.admin.sessions import actor
from webapp.core.models import SmtpUser
from webapp.core.services import credentials
from webapp.db import db

from .credential_forms import RotatePasswordForm, chosen_password, password_choice, typed_password
from .credentials import CredentialView
from .sending_limits import LIMIT_FIELDS


class SmtpUserView(CredentialView):
    """``/admin/smtp-users/``"""

    noun, menu_icon_value = "SMTP user", "key"
    intro = "A username and password for programs and devices that send by SMTP. They open no panel."
    create_template = "panel/credentials/create_smtp_user.html"
    empty_heading = "No SMTP user yet"
    empty_text = "Create one for each program or device, so that you can lock one out and not all."
    rotate_title, rotate_form = "New password", RotatePasswordForm
    create_columns = ("domain", "name", "password_choice", "password", "note", "expires_at", "once")
    create_fields = {"once": OnceField(), "password_choice": password_choice(), "password": typed_password()}
    edit_columns = ("note", *LIMIT_FIELDS, "dsn_on_failure", "expires_at", "expire_now")
    column_labels = CredentialView.column_labels | {"name": "Username"}
    form_args = CredentialView.form_args | {
        "name": {
            "label": "Username",
            "description": "In the form of an e-mail address. It needs no mailbox, and is no sender's address.",
            "validators": [InputRequired("Choose a username.")],
        },
        "dsn_on_failure": {
            "label": "Tell the sender by mail when a message could not be delivered",
            "description": "The notice goes to the sender's address that the program gave, as with any mail server.",
        },
    }
    form_widget_args = CredentialView.form_widget_args | {
        "name": {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false", "autofocus": True},
        "password": {"column_class": "typed-password", "data-password-rules": ""},
    }

    def __init__(self) -> None:
        super().__init__(SmtpUser, db, name="Credentials", endpoint="smtp_users", url="smtp-users")

    def create_form(self, obj: Any = None) -> Any:
        """Prefill the username's domain."""
        form = super().create_form(obj)
        if not form.is_submitted() and (chosen := current_scope().domain):
            form.name.data = f"@{chosen.name}"
        return form

    def create_row(self, form: Any) -> tuple[SmtpUser, str]:
        """Create it, with the typed or a generated password."""
        return credentials.create_smtp_user(
            db.session(),
            actor(),
            domain=self.form_domain(form),
            username=form.name.data,
            password=chosen_password(form),
            note=form.note.data or "",
            expires_at=form.expires_at.data,
        )

    def update_row(self, form: Any, row: SmtpUser) -> None:
        """What every credential has, and the notices."""
        super().update_row(form, row)
        credentials.set_dsn_on_failure(db.session(), actor(), row, form.dsn_on_failure.data)

    def rotate_row(self, row: SmtpUser, form: Any) -> str:
        """Make the new password."""
        return credentials.rotate(db.session(), actor(), row, password=chosen_password(form), grace=form.grace_period)
