"""The Settings page's forms, and what each of them changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from wtforms import IntegerField, PasswordField, RadioField, SelectChoice, SelectField, StringField, TextAreaField
from wtforms.validators import InputRequired, NumberRange, Optional

from webapp.admin.forms import PanelForm
from webapp.core.rules.relay import RelayTarget
from webapp.core.services.errors import ServiceError
from webapp.core.services.preferences import Current

SECURITIES = {
    "starttls": "STARTTLS, required",
    "tls": "SSL/TLS from the start",
    "opportunistic": "STARTTLS where it is offered, else unencrypted",
}
MODES = ("capture", "relay", "mx")
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?\Z"
)


class DeliveryForm(PanelForm):
    """The mode and the relay. The relay's password is never shown again."""

    delivery = RadioField("Delivery", choices=[SelectChoice(mode) for mode in MODES], validators=[Optional()])
    host = StringField(
        "Host", render_kw={"placeholder": "smtp.example.org", "autocomplete": "off", "spellcheck": "false"}
    )
    port = IntegerField(
        "Port",
        [Optional(), NumberRange(1, 65535, "Give a port from 1 to 65535.")],
        render_kw={"inputmode": "numeric", "min": 1, "max": 65535},
    )
    security = SelectField("Encryption", choices=[SelectChoice(*one) for one in SECURITIES.items()], default="starttls")
    username = StringField(
        "Username", render_kw={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}
    )
    password = PasswordField("Password", render_kw={"autocomplete": "new-password"})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in (self.host, self.port, self.security):  # a relay needs them; without one they may be empty
            field.flags.required = True
            field.render_kw = {**(field.render_kw or {}), "required": False}

    @classmethod
    def showing(cls, current: Current) -> DeliveryForm:
        """Filled in with what is in force, but for the password."""
        relay = current.relay
        values: dict[str, Any] = {"delivery": current.delivery, "port": 587}
        if relay:
            values |= {
                "host": relay.host,
                "port": relay.port,
                "security": relay.security,
                "username": relay.username or "",
            }
        return cls(formdata=None, data=values)

    def changes(self, current: Current, is_fixed: Callable[[str], bool]) -> dict[str, Any]:
        """What to store. Raise `ServiceError` naming the field."""
        found: dict[str, Any] = {}
        if not is_fixed("relay_url"):
            target = self._target(current.relay)
            found["relay_url"] = target.url if target else None
        if not is_fixed("delivery") and self.delivery.data:
            relay = found.get("relay_url", current.relay)
            if self.delivery.data == "relay" and not relay:
                raise ServiceError("Type the relay's host name: mail can't leave without one.", field="host")
            found["delivery"] = self.delivery.data
        return found

    def _target(self, stored: RelayTarget | None) -> RelayTarget | None:
        """The relay that the form describes; None for none. The stored password goes to the stored server only."""
        host = (self.host.data or "").strip().lower().strip("[]")
        username = (self.username.data or "").strip()
        if not host:
            if username or self.password.data:
                raise ServiceError("Type the relay's host name.", field="host")
            return None
        if not _is_host(host):
            raise ServiceError("This is not a host name: write it like smtp.example.org.", field="host")
        if self.port.data is None:
            raise ServiceError("Type the relay's port, often 587 or 465.", field="port")
        password = self.password.data or None
        if password and not username:
            raise ServiceError("Type the username that goes with the password.", field="username")
        if username and not password:
            same = stored and (stored.host, stored.port, stored.username) == (host, self.port.data, username)
            password = stored.password if stored and same else None
            if password is None:
                raise ServiceError(
                    "Type the password: it is not kept when the host, the port or the username changes.",
                    field="password",
                )
        return RelayTarget(host, self.port.data, self.security.data, username or None, password if username else None)


class LockoutForm(PanelForm):
    """When an address is locked, and which addresses never are."""

    lockout_failures = IntegerField(
        "Failures before a lock",
        [InputRequired("Type a number."), NumberRange(1, 1000, "Give a number from 1 to 1000.")],
        description="Wrong passwords and unknown names. The same wrong password again counts once.",
        render_kw={"inputmode": "numeric", "min": 1, "max": 1000},
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
            },
        )

    def changes(self) -> dict[str, Any]:
        """What to store."""
        names = ("lockout_failures", "lockout_window", "lockout_first", "never_lock")
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

    def changes(self, domains: Sequence[str]) -> dict[str, Any]:
        """What to store; the sender must be at one of *domains*. Raise `ServiceError` naming the field."""
        sender = (self.alerts_sender.data or "").strip()
        if sender and sender.rpartition("@")[2].lower() not in domains:
            known = f"such as alerts@{domains[0]}" if domains else "and you have none yet: add one under Domains"
            raise ServiceError(f"Give an address at one of your sending domains, {known}.", field="alerts_sender")
        return {"alerts_sender": sender or None}


def short(duration: timedelta) -> str:
    """A duration as the field takes it, in the largest unit that leaves no rest: ``15m``, ``90s``."""
    seconds = round(duration.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _is_host(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return bool(_HOST_NAME.match(text))
    return True
