"""The forms of SMTP users and API keys that Flask-Admin doesn't generate."""

from __future__ import annotations

from datetime import timedelta

from wtforms import BooleanField, HiddenField, RadioField, SelectChoice, SubmitField, TextAreaField
from wtforms.form import BaseForm
from wtforms.validators import InputRequired, ValidationError

from webapp.admin.forms import NewPasswordField, OnceField, PanelForm
from webapp.core.rules.passwords import GENERATED_LENGTH, password_problems

#: How long an old secret may work on beside the new one, in hours, and how forms say it.
GRACES = (
    (0, "Not at all: programs with the old one stop at once"),
    (1, "1 hour"),
    (24, "24 hours"),
    (168, "7 days (usual)"),
    (720, "30 days"),
)
_USUAL_GRACE = 168


def password_choice() -> RadioField:
    """Generated, unless somebody insists on their own."""
    return RadioField(
        "Password",
        choices=(
            SelectChoice("generated", f"Generate a strong one ({GENERATED_LENGTH} characters), shown once after this"),
            SelectChoice("typed", "I type my own"),
        ),
        default="generated",
        validators=[InputRequired()],
    )


def typed_password() -> NewPasswordField:
    """The password of one's own; judged only if that was chosen."""
    return NewPasswordField("Your password", validators=[_check_typed])


def chosen_password(form: BaseForm) -> str | None:
    """The typed password, or None to have one generated."""
    return form.password.data if form.password_choice.data == "typed" else None


def _check_typed(form: BaseForm, field: NewPasswordField) -> None:
    if form.password_choice.data == "typed" and (problems := password_problems(field.data or "")):
        raise ValidationError(" ".join(problems))


_check_typed.field_flags = {"required": True}  # where it is shown at all, it is not optional


class RotateKeyForm(PanelForm):
    """How long the old secret works on."""

    once = OnceField()
    grace = RadioField(
        "The old one works on for",
        choices=[SelectChoice(str(hours), text) for hours, text in GRACES],
        default=str(_USUAL_GRACE),
        validators=[InputRequired("Choose how long the old one works on.")],
    )

    @property
    def grace_period(self) -> timedelta:
        """The choice."""
        return timedelta(hours=int(self.grace.data))


class RotatePasswordForm(RotateKeyForm):
    """The same, and which password comes next."""

    password_choice = password_choice()
    password = typed_password()


class NetworksForm(PanelForm):
    """Allowed addresses and ranges. `confirmed` is the list that was warned about and is wanted anyway."""

    allowed_networks = TextAreaField("Allowed addresses and ranges")
    mine = HiddenField()
    add_mine = SubmitField("Add my address")
    add_seen = SubmitField("Allow the addresses seen")
    warned = HiddenField()
    anyway = BooleanField("Save it anyway")
