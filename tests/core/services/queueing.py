"""Short ways to claim and to record, for the queue's tests."""

from __future__ import annotations

from datetime import datetime, timedelta

from webapp.core.models import utcnow
from webapp.core.rules.statuses import Status
from webapp.core.services.deliveries import Claimed, claim
from webapp.core.services.gateway import Gateway
from webapp.core.services.outcomes import Attempt, Outcome, RetryPolicy, record

POLICY = RetryPolicy(first=timedelta(minutes=1), max_age=timedelta(days=5), random=lambda: 0.5)


def take(
    gateway: Gateway, *, lease: str = "one", now: datetime | None = None, limit: int = 100, fresh: bool = True
) -> list[Claimed]:
    with gateway.database.session() as session:
        return claim(session, lease=lease, now=now or utcnow(), limit=limit, fresh=fresh)


def settle(
    gateway: Gateway, *outcomes: Outcome, lease: str = "one", policy: RetryPolicy = POLICY, now=None
) -> set[int]:
    with gateway.database.session() as session:
        return record(session, outcomes, lease=lease, policy=policy, now=now or utcnow())


def tried(delivery_id: int, status: Status, reason: str = "", code: int | None = None) -> Outcome:
    now = utcnow()
    attempt = Attempt("relay", now - timedelta(seconds=1), now, host="relay.test:25", tls="TLSv1.3")
    return Outcome(delivery_id, status, reason, code, attempt)


def ids(claimed: list[Claimed]) -> list[int]:
    return [delivery_id for message in claimed for delivery_id in message.recipients]
