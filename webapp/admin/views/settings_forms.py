"""The Settings page's forms, and what each of them changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from wtforms import IntegerField, RadioField, SelectChoice, StringField, TextAreaField
from wtforms.validators import InputRequired, NumberRange, Optional

from webapp.admin.forms import PanelForm
from webapp.core.services import domains
from webapp.core.services.errors import ServiceError
from webapp.core.services.preferences import Current
from webapp.db import db

from .relay_form import RelayForm

MODES = ("capture", "relay", "mx")


class DeliveryForm(RelayForm):
    """The mode and the relay. The relay's password is never shown again."""

    delivery = RadioField("Delivery", choices=[SelectChoice(mode) for mode in MODES], validators=[Optional()])

    @classmethod
    def showing(cls, current: Current) -> DeliveryForm:
        """Filled in with what is in force, but for the password."""
        return cls(formdata=None, data={"delivery": current.delivery, **cls.values_of(current.relay)})

    def changes(self, current: Current, is_fixed: Callable[[str], bool]) -> dict[str, Any]:
        """What to store. Raise `ServiceError` naming the field."""
        found: dict[str, Any] = {}
        if not is_fixed("relay_url"):
            target = self.target(current.relay)
            found["relay_url"] = target.url if target else None
        if not is_fixed("delivery") and self.delivery.data:
            relay = found.get("relay_url", current.relay)
            if self.delivery.data == "relay" and not relay:
                raise ServiceError("Type the relay's host name: mail can't leave without one.", field="host")
            found["delivery"] = self.delivery.data
        return found


def _count(label: str, most: int, description: str, *, of: str = "a number") -> IntegerField:
    """A field for a whole number from 1 to *most*."""
    return IntegerField(
        label,
        [InputRequired(f"Type {of}."), NumberRange(1, most, f"Give {of} from 1 to {most}.")],
        description=description,
        render_kw={"inputmode": "numeric", "min": 1, "max": most},
    )


class LockoutForm(PanelForm):
    """When an address is locked, and which addresses never are."""

    lockout_failures = _count(
        "Failures before a lock", 1000, "Wrong passwords and unknown names. The same wrong password again counts once."
    )
    lockout_window = StringField(
        "Counted within",
        [InputRequired("Type a duration, such as 15m.")],
        description="For example 30s, 15m, 12h or 1d.",
    )
    lockout_first = StringField(
        "First lock lasts",
        [InputRequired("Type a duration, such as 5m.")],
        description="For example 5m or 1h.",
    )
    never_lock = TextAreaField(
        "Never lock these addresses",
        description="One address or range a line, such as 192.0.2.10 or 10.0.0.0/8. "
        "Guessing from there is never stopped, so keep it short.",
        render_kw={"rows": 4, "spellcheck": "false", "placeholder": "192.0.2.10"},
    )
    logs_kept_days = _count(
        "Keep failed attempts for",
        3650,
        "And all other refusals. Afterwards they are deleted, and their references can't be explained.",
        of="a number of days",
    )

    @classmethod
    def showing(cls, current: Current) -> LockoutForm:
        """Filled in with what is in force."""
        return cls(
            formdata=None,
            data={
                "lockout_failures": current.lockout_failures,
                "lockout_window": short(current.lockout_window),
                "lockout_first": short(current.lockout_first),
                "never_lock": "\n".join(map(str, current.never_lock)),
                "logs_kept_days": current.logs_kept.days,
            },
        )

    def changes(self) -> dict[str, Any]:
        """What to store."""
        names = ("lockout_failures", "lockout_window", "lockout_first", "never_lock", "logs_kept_days")
        return {name: self[name].data if self[name].data is not None else "" for name in names}


class NotificationsForm(PanelForm):
    """Whether owners hear of alerts by mail, and from which address."""

    alerts_sender = StringField(
        "Send the digest from",
        description="An address at one of your sending domains, such as alerts@example.com. "
        "Leave it empty and nothing is mailed.",
        render_kw={"inputmode": "email", "autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"},
    )

    @classmethod
    def showing(cls, current: Current) -> NotificationsForm:
        """Filled in with what is in force."""
        return cls(formdata=None, data={"alerts_sender": current.alerts_sender or ""})

    def changes(self) -> dict[str, Any]:
        """What to store; the sender must be at a domain of ours. Raise `ServiceError` naming the field."""
        sender = (self.alerts_sender.data or "").strip()
        ours = [domain.name for domain in domains.live(db.session())]
        if sender and sender.rpartition("@")[2].lower() not in ours:
            known = f"such as alerts@{ours[0]}" if ours else "and you have none yet: add one under Domains"
            raise ServiceError(f"Give an address at one of your sending domains, {known}.", field="alerts_sender")
        return {"alerts_sender": sender or None}


class RetentionForm(PanelForm):
    """How long mail is kept, and when an address that bounces is given up."""

    content_kept_days = _count(
        "Keep the content for",
        3650,
        "Text, attachments and source. What became of a message is still shown afterwards.",
        of="a number of days",
    )
    messages_kept_days = _count(
        "Keep messages for",
        3650,
        "Afterwards nothing of them is left. Mail that still waits is never deleted.",
        of="a number of days",
    )
    soft_bounces = _count(
        "Suppress an address after",
        100,
        "Passing refusals in a row, such as a full mailbox. An address that doesn't exist goes at once.",
    )

    @classmethod
    def showing(cls, current: Current) -> RetentionForm:
        """Filled in with what is in force."""
        days = {"content_kept_days": current.content_kept.days, "messages_kept_days": current.messages_kept.days}
        return cls(formdata=None, data=days | {"soft_bounces": current.soft_bounces})

    def changes(self) -> dict[str, Any]:
        """What to store. Raise `ServiceError` naming the field."""
        if self.content_kept_days.data > self.messages_kept_days.data:
            raise ServiceError("The content can't be kept longer than its message.", field="content_kept_days")
        return {name: self[name].data for name in ("content_kept_days", "messages_kept_days", "soft_bounces")}


def short(duration: timedelta) -> str:
    """A duration as the field takes it, in the largest unit that leaves no rest: ``15m``, ``90s``."""
    seconds = round(duration.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
