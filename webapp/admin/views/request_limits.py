"""The Settings page's form for requests a minute at the HTTP door."""

from __future__ import annotations

from typing import Any

from wtforms import IntegerField
from wtforms.validators import NumberRange, Optional

from webapp.admin.forms import PanelForm
from webapp.core.services.preferences import MOST_REQUESTS, Current

_RANGE = NumberRange(1, MOST_REQUESTS, f"Give a number from 1 to {MOST_REQUESTS:,}, or leave it empty for no limit.")
_WIDGET = {"inputmode": "numeric", "min": 1, "max": MOST_REQUESTS, "placeholder": "no limit"}


class RequestLimitsForm(PanelForm):
    """How often programs may call the API; empty is no limit."""

    requests_per_key = IntegerField("With one API key, a minute", [Optional(), _RANGE], render_kw=_WIDGET)
    requests_per_address = IntegerField("From one address, a minute", [Optional(), _RANGE], render_kw=_WIDGET)

    @classmethod
    def showing(cls, current: Current) -> RequestLimitsForm:
        """Filled in with what is in force."""
        names = ("requests_per_key", "requests_per_address")
        return cls(formdata=None, data={name: getattr(current, name) for name in names})

    def changes(self) -> dict[str, Any]:
        """What to store."""
        return {name: self[name].data for name in ("requests_per_key", "requests_per_address")}
