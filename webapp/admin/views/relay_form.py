"""The fields that describe a relay, for all mail or for one domain's. The password is never shown again."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any

from wtforms import IntegerField, PasswordField, SelectChoice, SelectField, StringField
from wtforms.validators import NumberRange, Optional

from webapp.admin.forms import PanelForm
from webapp.core.rules.relay import RelayTarget, is_loopback
from webapp.core.services.errors import ServiceError

SECURITIES = {
    "starttls": "STARTTLS, required",
    "tls": "SSL/TLS from the start",
    "opportunistic": "STARTTLS where it is offered, else unencrypted",
}
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?\Z"
)


class RelayForm(PanelForm):
    """Host, port, encryption and log-in."""

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

    @staticmethod
    def values_of(relay: RelayTarget | None) -> dict[str, Any]:
        """What the fields show of *relay*: all but the password."""
        if relay is None:
            return {"port": 587}
        return {
            "host": relay.host,
            "port": relay.port,
            "security": relay.security,
            "username": relay.username or "",
        }

    def target(self, stored: RelayTarget | None) -> RelayTarget | None:
        """The relay that the fields describe; None for none. The *stored* password goes to the stored server only.

        Raise `ServiceError` naming the field.
        """
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
        if username and self.security.data == "opportunistic" and not is_loopback(host):
            raise ServiceError("A password never goes out unencrypted: choose one of the others.", field="security")
        if username and not password:
            same = stored and (stored.host, stored.port, stored.username) == (host, self.port.data, username)
            password = stored.password if stored and same else None
            if password is None:
                raise ServiceError(
                    "Type the password: it is not kept when the host, the port or the username changes.",
                    field="password",
                )
        return RelayTarget(host, self.port.data, self.security.data, username or None, password if username else None)


def _is_host(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return bool(_HOST_NAME.match(text))
    return True
