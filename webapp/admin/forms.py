"""What the panel's forms share."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from flask import session
from flask_wtf import FlaskForm
from wtforms import DateTimeLocalField, HiddenField, PasswordField
from wtforms.form import BaseForm

from webapp.core.services.errors import ServiceError

_SENT_REMEMBERED = 20
PASSWORD_WIDGET = {"data-password-rules": "", "autocomplete": "new-password"}


class PanelForm(FlaskForm):
    """The base of every form, also of those that Flask-Admin generates: CSRF as the whole app has it."""

    def __init__(self, *args: Any, obj: Any = None, **kwargs: Any) -> None:
        self._obj = obj  # Flask-Admin's validators ask for it
        super().__init__(*args, obj=obj, **kwargs)


class UtcDateTimeField(DateTimeLocalField):
    """A date and time in UTC, which its label must say: a browser's field knows no time zone."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the naive value as UTC."""
        super().process_formdata(valuelist)
        if isinstance(self.data, datetime):
            self.data = self.data.replace(tzinfo=UTC)


class NewPasswordField(PasswordField):
    """A password being chosen: nothing is trimmed, and the rules are ticked off while typing."""

    def __init__(self, label: str | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("render_kw", dict(PASSWORD_WIDGET))
        super().__init__(label, **kwargs)


class OnceField(HiddenField):
    """Tells a form that is sent again by a reload from a fresh one; see `was_sent`."""

    def __init__(self, label: str | None = None, **kwargs: Any) -> None:
        super().__init__(label, default=lambda: secrets.token_urlsafe(9), **kwargs)


def was_sent(form: BaseForm) -> bool:
    """Whether this very form, which has an `OnceField` called ``once``, was carried out before."""
    return form.once.data in session.get("sent", ())


def mark_sent(form: BaseForm) -> None:
    """Remember that *form* was carried out."""
    if form.once.data:
        session["sent"] = [*session.get("sent", ()), form.once.data[:16]][-_SENT_REMEMBERED:]


def show_error(form: BaseForm, error: ServiceError) -> None:
    """Put *error* at the field that it names, or at the top of *form*."""
    if error.field and error.field in form:
        field = form[error.field]
        field.errors = [*field.errors, str(error)]
    else:
        form.form_errors.append(str(error))
