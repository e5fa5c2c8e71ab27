"""What a sender may say about a message beside the message: tag, metadata, send time, idempotency key.

The API has them as fields, SMTP as ``X-Postlatch-…`` headers; both come here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from webapp.core.rules.refusals import Reason, Refused

LONGEST_TAG = 100
LONGEST_IDEMPOTENCY_KEY = 256
FARTHEST_SEND_AT = timedelta(days=30)
MOST_METADATA, LONGEST_METADATA_KEY, LONGEST_METADATA_VALUE = 50, 100, 1000
_NUMBER = re.compile(r"-?\d{1,12}(\.\d{1,9})?\Z", re.ASCII)
#: ISO 8601, extended or basic. Digits alone are seconds.
_DATE = re.compile(r"(\d{4}-|\d{8}T)[0-9TWZ:., +-]+\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Controls:
    """What a message said of itself."""

    tag: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    send_at: datetime | None = None
    idempotency_key: str | None = None


def parse_send_at(value: object, now: datetime) -> datetime | None:
    """Read ISO 8601 with an offset, or Unix seconds; None when that is past, which means now.

    Raise ``Refused(INVALID_FIELD)`` for anything else, and for a time over 30 days ahead.
    """
    when = parse_instant(value)
    if when <= now:
        return None
    if when - now > FARTHEST_SEND_AT:
        _refuse("send_at", "send_at is over 30 days ahead: choose an earlier time")
    return when


def parse_instant(value: object) -> datetime:
    """The instant, in UTC, that a `send_at` names, whenever that is. Raise ``Refused(INVALID_FIELD)``."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        _refuse("send_at", "send_at must be a time such as 2026-01-31T09:00:00+01:00, or Unix seconds")
    try:
        when = _instant(value)
        if when.tzinfo is None:
            _refuse("send_at", "send_at needs its offset from UTC: write 2026-01-31T09:00:00+01:00, or end it with Z")
        return when.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        _refuse("send_at", "send_at must be a time such as 2026-01-31T09:00:00+01:00, or Unix seconds")


def parse_metadata(value: object) -> dict[str, str]:
    """Read a JSON object, or its text. Numbers and booleans become strings. Raise ``Refused(INVALID_FIELD)``."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            _refuse("metadata", "metadata must be a JSON object")
    if not isinstance(value, Mapping):
        _refuse("metadata", "metadata must be a JSON object")
    if len(value) > MOST_METADATA:
        _refuse("metadata", f"metadata has too many entries: at most {MOST_METADATA}")
    return {_metadata_key(key): _metadata_value(item) for key, item in value.items()}


def check_tag(value: str) -> str:
    """Check a tag: 1 to 100 printable characters. Raise ``Refused(INVALID_FIELD)``."""
    if not 1 <= len(value) <= LONGEST_TAG or not value.isprintable():
        _refuse("tag", f"tag must be 1 to {LONGEST_TAG} printable characters")
    return value


def check_idempotency_key(value: str) -> str:
    """Check a key: 1 to 256 printable characters. Raise ``Refused(INVALID_FIELD)``."""
    if not 1 <= len(value) <= LONGEST_IDEMPOTENCY_KEY or not value.isprintable():
        _refuse("idempotency_key", f"The idempotency key must be 1 to {LONGEST_IDEMPOTENCY_KEY} printable characters")
    return value


def _instant(value: str | float) -> datetime:
    if isinstance(value, str) and not _NUMBER.match(value.strip()):
        text = value.strip().upper()
        if not _DATE.match(text):
            raise ValueError
        return datetime.fromisoformat(text)
    seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError
    return datetime.fromtimestamp(seconds, UTC)


def _metadata_key(key: Any) -> str:
    if not isinstance(key, str) or not 1 <= len(key) <= LONGEST_METADATA_KEY or not key.isprintable():
        _refuse("metadata", f"A name in metadata must be 1 to {LONGEST_METADATA_KEY} printable characters")
    return key


def _metadata_value(value: Any) -> str:
    if isinstance(value, (bool, int, float)):
        try:
            value = json.dumps(value)
        except ValueError:  # an integer of thousands of digits
            value = "9" * (LONGEST_METADATA_VALUE + 1)
    if value is None:
        return ""
    if not isinstance(value, str):
        _refuse("metadata", "metadata takes texts and numbers only, no lists or objects")
    if len(value) > LONGEST_METADATA_VALUE:
        _refuse("metadata", f"A value in metadata is too long: at most {LONGEST_METADATA_VALUE} characters")
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        _refuse("metadata", "A value in metadata has characters that can't be stored")
    return value


def _refuse(name: str, problem: str) -> NoReturn:
    raise Refused(Reason.INVALID_FIELD, field=name, problem=problem)
