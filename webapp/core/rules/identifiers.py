"""Identifiers of messages and events: unguessable, and in the order of their making."""

from __future__ import annotations

import secrets
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_message_id(now: datetime) -> str:
    """``msg_`` and 26 characters: 48 bits of milliseconds, then 80 random bits, in Crockford's base 32."""
    return _identifier("msg_", now, secrets.randbits(80))


def first_message_id(moment: datetime) -> str:
    """The identifier that no message of *moment* or later is below: a range of time is a range of identifiers."""
    return _identifier("msg_", moment, 0)


def new_event_id(now: datetime) -> str:
    """``evt_`` and the like of a message's."""
    return _identifier("evt_", now, secrets.randbits(80))


def first_event_id(moment: datetime) -> str:
    """The identifier that no event of *moment* or later is below."""
    return _identifier("evt_", moment, 0)


def _identifier(prefix: str, moment: datetime, random: int) -> str:
    number = int(moment.timestamp() * 1000) << 80 | random
    return prefix + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5))
