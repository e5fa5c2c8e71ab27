"""Addresses from which log-ins succeeded lately, in memory: a crowd of strangers must not stand in their way.

It tells who goes first and nothing else: whoever is let in is judged by the database.
"""

from __future__ import annotations

import threading
import time

from sqlalchemy import func, select

from webapp.core.database import Database
from webapp.core.models import KnownAddress, utcnow
from webapp.core.rules.locks import FAMILIAR_FOR
from webapp.core.services.failures import address_of

#: How many are remembered: those that succeeded last.
MOST = 20_000
#: How often it is read, in seconds; successes of this process are known at once.
FRESH_SECONDS = 30.0


class Familiar:
    """The addresses of a process, `in` it by their IP."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._addresses: set[str] = set()
        self._read_at = float("-inf")

    def __contains__(self, ip: str) -> bool:
        return address_of(ip) in self._addresses

    def add(self, address: str) -> None:
        """A log-in succeeded from *address*."""
        with self._lock:
            if len(self._addresses) < 2 * MOST:
                self._addresses.add(address)

    def refresh(self) -> None:
        """Read what other processes know, if it is time. Blocks. Raise `UNAVAILABLE`."""
        if time.monotonic() - self._read_at < FRESH_SECONDS:
            return
        last = func.max(KnownAddress.succeeded_at)
        with self._database.session() as session:
            found = session.scalars(
                select(KnownAddress.subject)
                .where(KnownAddress.succeeded_at > utcnow() - FAMILIAR_FOR)
                .group_by(KnownAddress.subject)
                .order_by(last.desc())
                .limit(MOST)
            ).all()
        with self._lock:
            self._addresses, self._read_at = set(found), time.monotonic()
