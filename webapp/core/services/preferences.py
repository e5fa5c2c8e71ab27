"""What admins set while it runs: stored in the database, seen by every process within `FRESH_SECONDS`.

A variable that is set wins over the stored value. Start values (the lockout thresholds) only stand in until
somebody stores one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.core.database import UNAVAILABLE, Database
from webapp.core.models import Preference
from webapp.core.rules.addresses import parse_address
from webapp.core.rules.bounces import SOFT_BOUNCES
from webapp.core.rules.duration import parse_duration
from webapp.core.rules.networks import Network, NetworkError, parse_networks
from webapp.core.rules.relay import RelayTarget
from webapp.core.services import audit, relays
from webapp.core.services.audit import SECRET, Actor
from webapp.core.services.errors import ServiceError
from webapp.core.services.vault import Vault
from webapp.settings import DeliveryMode, Settings

FRESH_SECONDS = 2.0
#: How long refusals, failed attempts among them, are kept unless an owner says otherwise.
LOGS_KEPT_DAYS = 90
#: The same for mail: its content, and what became of it.
CONTENT_KEPT_DAYS, MESSAGES_KEPT_DAYS = 30, 90
#: Requests a minute at the HTTP door; the most that can be set.
_RATES, MOST_REQUESTS = ("requests_per_key", "requests_per_address"), 1_000_000
#: Whole numbers from 1, and the most that can be set.
_COUNTS = {
    "lockout_failures": 1000,
    "logs_kept_days": 3650,
    "content_kept_days": 3650,
    "messages_kept_days": 3650,
    "soft_bounces": 100,
}
#: The names that can be stored.
NAMES = (
    "delivery",
    "relay_url",
    "lockout_failures",
    "lockout_window",
    "lockout_first",
    "never_lock",
    "logs_kept_days",
    "content_kept_days",
    "messages_kept_days",
    "soft_bounces",
    "blocklist_exempt",
    "alerts_sender",
    *_RATES,
)
_SECRET_NAMES = {"relay_url"}
#: A variable of the same name fixes these; of the others it is the start value only.
_FIXABLE = {"delivery", "relay_url"}


@dataclass(frozen=True, slots=True)
class Current:
    """The settings in force now."""

    delivery: DeliveryMode
    relay: RelayTarget | None
    domain_relays: Mapping[int, RelayTarget]  # by the domain's id
    lockout_failures: int
    lockout_window: timedelta
    lockout_first: timedelta
    never_lock: tuple[Network, ...]
    logs_kept: timedelta
    content_kept: timedelta
    messages_kept: timedelta
    soft_bounces: int
    blocklist_exempt: tuple[Network, ...]
    alerts_sender: str | None
    requests_per_key: int | None = None
    requests_per_address: int | None = None


class Preferences:
    """Reads the stored preferences, merged with the environment, through a short-lived memory."""

    def __init__(self, database: Database, settings: Settings, vault: Vault) -> None:
        self._database = database
        self._settings = settings
        self._vault = vault
        self._lock = threading.Lock()
        self._known: Current | None = None
        self._read_at = 0.0

    def current(self) -> Current:
        """The settings in force, at most `FRESH_SECONDS` old; the last known ones while the database is gone."""
        with self._lock:
            if self._known is None or time.monotonic() - self._read_at > FRESH_SECONDS:
                try:
                    with self._database.session() as session:
                        self._known = self.read(session)
                except UNAVAILABLE:
                    if self._known is None:
                        raise
                self._read_at = time.monotonic()
            return self._known

    def read(self, session: Session) -> Current:
        """The settings in force, read now."""
        stored = {row.name: row.value for row in session.scalars(select(Preference))}
        for name in _SECRET_NAMES & stored.keys():
            stored[name] = self._vault.decrypt(stored[name]) if stored[name] else None
        values = {name: stored[name] for name in NAMES if name in stored and not self.is_fixed(name)}
        relay_url = values.get("relay_url", self._settings.relay_url)
        return Current(
            delivery=values.get("delivery", self._settings.delivery),
            relay=RelayTarget.parse(relay_url) if relay_url else None,
            domain_relays=relays.all_relays(session, self._vault),
            lockout_failures=int(values.get("lockout_failures", self._settings.lockout_failures)),
            lockout_window=parse_duration(values.get("lockout_window", self._settings.lockout_window)),
            lockout_first=parse_duration(values.get("lockout_first", self._settings.lockout_first)),
            never_lock=parse_networks("\n".join(values.get("never_lock", []))),
            logs_kept=timedelta(days=int(values.get("logs_kept_days", LOGS_KEPT_DAYS))),
            content_kept=timedelta(days=int(values.get("content_kept_days", CONTENT_KEPT_DAYS))),
            messages_kept=timedelta(days=int(values.get("messages_kept_days", MESSAGES_KEPT_DAYS))),
            soft_bounces=int(values.get("soft_bounces", SOFT_BOUNCES)),
            alerts_sender=values.get("alerts_sender"),
            **{name: values.get(name) for name in _RATES},
            blocklist_exempt=parse_networks("\n".join(values.get("blocklist_exempt", []))),
        )

    def is_fixed(self, name: str) -> bool:
        """Whether a variable fixes *name*, so that the Settings page can only show it."""
        return name in _FIXABLE and self._settings.is_fixed(name)

    def store(self, session: Session, actor: Actor, values: Mapping[str, Any]) -> None:
        """Check and store *values*, and audit what changes. Raise `ServiceError` naming the field."""
        for name, value in values.items():
            if self.is_fixed(name):
                raise ServiceError(f"POSTLATCH_{name.upper()} sets this: change it there.", field=name)
            cleaned = _clean(name, value)
            row = session.get(Preference, name)
            secret = name in _SECRET_NAMES
            before = self._vault.decrypt(row.value) if row and secret and row.value else (row.value if row else None)
            if before == cleaned:
                continue
            row = row or Preference(name=name)
            row.value = self._vault.encrypt(cleaned) if secret and cleaned else cleaned
            session.add(row)
            audit.record(session, actor, "change", row, value=SECRET if secret else [before, cleaned])
        with self._lock:
            self._read_at = 0.0


def _clean(name: str, value: Any) -> Any:  # noqa: PLR0911 - one a name
    try:
        match name:
            case "delivery" if value in ("capture", "relay", "mx"):
                return value
            case "relay_url":
                return RelayTarget.parse(value).url if value else None
            case _ if name in _COUNTS and str(value).isdigit() and 1 <= int(value) <= _COUNTS[name]:
                return int(value)
            case "lockout_window" | "lockout_first":
                return f"{round(parse_duration(value).total_seconds())}s"
            case "alerts_sender":
                return parse_address(value.strip()) if value and value.strip() else None
            case "requests_per_key" | "requests_per_address":
                return _rate(value)
            case "never_lock" | "blocklist_exempt":
                return [str(network) for network in parse_networks(value)]
    except (ValueError, NetworkError) as error:
        raise ServiceError(f"{str(error)[:1].upper()}{str(error)[1:]}.".replace("..", "."), field=name) from None
    raise ServiceError("That value can't be used here.", field=name)


def _rate(value: Any) -> int | None:
    """A number of requests a minute; None, or nothing, for no limit."""
    if value is None or value == "":
        return None
    if not str(value).isdigit() or not 1 <= int(value) <= MOST_REQUESTS:
        raise ValueError(f"Give a number from 1 to {MOST_REQUESTS:,}, or leave it empty for no limit")
    return int(value)
