"""Sending limits in the panel: the fields of the edit forms, and what the lists show of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import g
from wtforms.validators import NumberRange

from webapp.admin.sessions import actor
from webapp.core.models import CredentialRow, Domain, utcnow
from webapp.core.rules.quotas import MOST, Allowance, Limits
from webapp.core.services import quotas
from webapp.db import db

LIMIT_FIELDS = ("messages_per_hour", "messages_per_day", "recipients_per_message")
_RANGE = NumberRange(1, MOST, f"Give a number from 1 to {MOST:,}, or leave it empty for no limit.")
LIMIT_ARGS = {
    "messages_per_hour": {"label": "At most, messages an hour", "validators": [_RANGE]},
    "messages_per_day": {
        "label": "At most, messages a day",
        "description": "A message counts once, however many recipients it has. Beyond the limit, programs are told "
        "to try again later: nothing is lost. Counting begins when a limit is set, and looks back an hour or 24 hours.",
        "validators": [_RANGE],
    },
    "recipients_per_message": {
        "label": "At most, recipients a message",
        "description": "Empty fields: no limit.",
        "validators": [_RANGE],
    },
}
LIMIT_WIDGETS: dict[str, dict[str, Any]] = {
    name: {"inputmode": "numeric", "min": 1, "placeholder": "no limit"} for name in LIMIT_FIELDS
}


def set_limits(form: Any, row: CredentialRow | Domain) -> None:
    """Set the limits of *row* as *form* says."""
    quotas.set_limits(db.session(), actor(), row, Limits(*(form[name].data for name in LIMIT_FIELDS)))


def look_up_usage(rows: Sequence[CredentialRow | Domain]) -> None:
    """Read what all *rows* of a list have used, in one query, for `usage`."""
    g.sending_usage = quotas.of_rows(db.session(), rows, utcnow())


def usage(row: CredentialRow | Domain) -> list[Allowance]:
    """What *row* has used of each of its limits."""
    owner = "domain" if isinstance(row, Domain) else "credential"
    found: list[Allowance] = g.sending_usage.get((owner, row.id), [])
    return found
