"""The forms of webhooks."""

from __future__ import annotations

from typing import Any

from wtforms import RadioField, SelectChoice, SelectMultipleField
from wtforms.form import BaseForm
from wtforms.validators import InputRequired, ValidationError
from wtforms.widgets import CheckboxInput, ListWidget

from webapp.core.rules.events import FINAL_EVENTS, EventName
from webapp.net.targets import TargetGuard, TargetRefused

FINAL, ALL, SOME = "final", "all", "some"
#: What each event means, for people who don't run mail servers.
EVENT_WORDS = {
    EventName.ACCEPTED: "Accepted: this server has taken the message in",
    EventName.DELIVERED: "Delivered: the recipient's server has it",
    EventName.DEFERRED: "Deferred: the other server can't take it yet; it is tried again",
    EventName.BOUNCED: "Bounced: the recipient's server refused it for good",
    EventName.FAILED: "Failed: it was given up, or never tried",
    EventName.CREDENTIAL_LOCKED: "Credential locked: an SMTP user was locked after too many wrong passwords",
}


def choice_field() -> RadioField:
    """How much to tell."""
    return RadioField(
        "Which events",
        choices=(
            SelectChoice(FINAL, "Final outcomes only: delivered, bounced, failed"),
            SelectChoice(ALL, "All of them"),
            SelectChoice(SOME, "I choose"),
        ),
        default=FINAL,
        validators=[InputRequired("Choose which events.")],
    )


def events_field() -> SelectMultipleField:
    """The events of one's own choice; judged only if that was chosen."""
    return SelectMultipleField(
        "Events",
        choices=[SelectChoice(name, words) for name, words in EVENT_WORDS.items()],
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
        validators=[_check_some],
    )


def chosen_events(form: BaseForm) -> list[str]:
    """The names of the chosen events."""
    return {FINAL: list(FINAL_EVENTS), ALL: list(EventName)}.get(form.choice.data) or form.events.data


def choice_of(events: list[str]) -> str:
    """The choice that *events* are."""
    return FINAL if events == list(FINAL_EVENTS) else ALL if events == list(EventName) else SOME


def check_target(guard: TargetGuard) -> Any:
    """A validator of addresses that may be called."""

    def check(_form: BaseForm, field: Any) -> None:
        try:
            field.data = str(guard.check_url(field.data or ""))
        except TargetRefused as refused:
            raise ValidationError(str(refused)) from None

    return check


def _check_some(form: BaseForm, field: Any) -> None:
    if form.choice.data == SOME and not field.data:
        raise ValidationError("Choose at least one event.")


_check_some.field_flags = {"required": True}  # where it is shown at all, it is not optional
