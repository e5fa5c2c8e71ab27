"""``/metrics`` for Prometheus: what an operator graphs, and is woken by.

All of it is read from the database at each scrape, so that it is the same whichever process answers. Nothing in it
names a domain, a credential or an address: the page asks for no log-in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.certificate import read_certificate
from webapp.core.database import UNAVAILABLE
from webapp.core.models import Delivery, FailedAttempt, Lock, Message, Refusal, utcnow
from webapp.core.rules.statuses import FINAL, Status
from webapp.core.services import heartbeats
from webapp.core.services.gateway import Gateway
from webapp.health import PROCESSES

#: Refusals and failed attempts are counted over so long: a gauge, since their log is pruned.
RECENT = timedelta(minutes=15)


def create_metrics(gateway: Gateway) -> Blueprint:
    """The page. Without a database it says so in ``postlatch_database_up`` and answers all the same."""
    blueprint = Blueprint("metrics", __name__)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Facts(gateway))

    @blueprint.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    return blueprint


class _Facts(Collector):
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What is so at this moment."""
        certificate = read_certificate(self._gateway.settings.tls_files[0])
        if certificate:
            ends = certificate.not_valid_after_utc.timestamp()
            yield _gauge("tls_certificate_expires_timestamp_seconds", "When the TLS certificate ends.", ends)
        try:
            with self._gateway.database.session() as session:
                found = [*_stored(session, utcnow())]
        except UNAVAILABLE:
            yield _gauge("database_up", "Whether the database answers.", 0)
            return
        yield _gauge("database_up", "Whether the database answers.", 1)
        yield from found


def _stored(session: Session, now: datetime) -> Iterator[GaugeMetricFamily]:
    alive = heartbeats.alive(session, now)
    yield _by_label(
        "process_up", "Whether a process is at work.", "process", ((name, alive.get(name, False)) for name in PROCESSES)
    )
    waiting = [status for status in Status if status not in FINAL]
    counts = dict(
        session.execute(
            select(Message.status, func.count()).where(Message.status.in_(waiting)).group_by(Message.status)
        )
        .tuples()
        .all()
    )
    yield _by_label(
        "queue_messages",
        "Messages with a recipient that is not done.",
        "status",
        ((status.value, counts.get(status.value, 0)) for status in waiting),
    )
    due_at = session.scalar(select(func.min(Delivery.due_at)).where(Delivery.due_at <= now))
    late = (now - due_at).total_seconds() if due_at else 0.0
    yield _gauge("queue_late_seconds", "How long the delivery that waits longest has been due.", late)
    locks = session.execute(
        select(Lock.scope, func.count()).where(Lock.locked_until > now, Lock.cleared_at.is_(None)).group_by(Lock.scope)
    )
    yield _by_label("locks", "Locks in force.", "scope", ((row[0], row[1]) for row in locks))
    failures = session.scalar(select(func.count()).where(FailedAttempt.at > now - RECENT))
    yield _gauge("recent_failed_attempts", "Wrong secrets and unknown names in the last 15 minutes.", failures or 0)
    refusals = session.execute(
        select(Refusal.code, func.count()).where(Refusal.at > now - RECENT).group_by(Refusal.code)
    )
    yield _by_label(
        "recent_refusals", "Refusals in the last 15 minutes.", "code", ((row[0], row[1]) for row in refusals)
    )


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"postlatch_{name}", what, value=value)


def _by_label(name: str, what: str, label: str, values: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"postlatch_{name}", what, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family
