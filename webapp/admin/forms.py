"""What the panel's forms share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask_wtf import FlaskForm
from wtforms import DateTimeLocalField, PasswordField
from wtforms.form import BaseForm

from webapp.core.services.errors import ServiceError

PASSWORD_WIDGET = {"data-password-rules": "", "autocomplete": "new-password"}


class PanelForm(FlaskForm):
    """The base of every form, also of those that Flask-Admin generates: CSRF as the whole app has it."""

    def __init__(self, *args: Any, obj: Any = None, **kwargs: Any) -> None:
        self._obj = obj  # Flask-Admin's validators ask for it
        super().__init__(*args, obj=obj, **kwargs)

    def show(self, error: ServiceError) -> None:
        """Put a service's objection at the field that it names, or at the top."""
        show_error(self, error)


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


def show_error(form: BaseForm, error: ServiceError) -> None:
    """Put *error* at the field that it names, or at the top of *form*."""
    if error.field and error.field in form:
        field = form[error.field]
        field.errors = [*field.errors, str(error)]
    else:
        form.form_errors.append(str(error))
