"""Locks after failed attempts: how long they last, how they grow, and whom the lock of a credential spares."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import ip_network

from webapp.core.rules.networks import allowed
from webapp.core.rules.refusals import printable

_MULTIPLES = (1, 6, 24, 288)
#: After so long without a lock the ladder starts again.
FORGIVEN_AFTER = timedelta(hours=24)
#: Failures from one address that count against a credential: a lone guesser can't lock its owner out.
MOST_FROM_ONE_ADDRESS = 3
#: An address from which a log-in succeeded is spared by the credential's lock for so long.
FAMILIAR_FOR = timedelta(days=30)
#: The shortest prefixes of an allowed list whose addresses the credential's lock spares.
_NARROW = {4: 24, 6: 48}
_LONGEST_NAME = 320


def lock_duration(level: int, first: timedelta) -> timedelta:
    """How long the lock of *level* (0 is the first of a row) lasts: 1, 6, 24, then 288 times *first*."""
    return first * _MULTIPLES[min(level, len(_MULTIPLES) - 1)]


def next_level(level: int, unlocked_at: datetime, now: datetime) -> int:
    """The level of a lock that follows one of *level*, which ended at *unlocked_at*."""
    return 0 if now - unlocked_at >= FORGIVEN_AFTER else level + 1


def narrowly_allowed(ip: str, networks: Iterable[str]) -> bool:
    """Whether an entry of an allowed list names *ip* closely: by a /24, a /48 of IPv6, or narrower."""
    narrow = [n for n in map(ip_network, networks) if n.prefixlen >= _NARROW[n.version]]
    return bool(narrow) and allowed(ip, narrow)


def counted_name(name: str) -> str:
    """The name under which failures count: printable, and when shortened still another for another name."""
    text = printable(name, _LONGEST_NAME)
    if len(text) < _LONGEST_NAME:
        return text
    return f"{text[: _LONGEST_NAME - 20]}…{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def describe_login(kind: str, name: str) -> str:
    """What people call a log-in: "The SMTP user a@example.com"."""
    words = {"smtp_user": "The SMTP user", "admin": "The person", "api_key": "The API key"}
    return f"{words.get(kind, kind)} {name}"
