"""What Prometheus reads, as its own parser reads it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from tests.support.factories import OFFICE, make_api_key, make_domain
from tests.support.queue import enqueue
from webapp import gateway_of
from webapp.certificate import ensure_certificate
from webapp.core.models import utcnow
from webapp.core.rules.refusals import Refused
from webapp.core.services.gateway import Gateway
from webapp.metrics import create_metrics


@pytest.fixture
def gateway(app: Flask) -> Gateway:
    """The services, with the page plugged in."""
    gateway = gateway_of(app)
    app.register_blueprint(create_metrics(gateway))
    return gateway


def scrape(app: Flask) -> dict[tuple[str, ...], float]:
    """Every sample, by its name without the prefix and its labels' values."""
    answer = app.test_client().get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name.removeprefix("postlatch_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.get_data(as_text=True))
        for sample in family.samples
    }


def test_the_queue_is_counted_and_its_lateness_told(app: Flask, gateway: Gateway) -> None:
    make_domain(gateway)
    enqueue(gateway, "ann@example.org", due_at=utcnow() - timedelta(minutes=10))
    enqueue(gateway, "bob@example.org", due_at=utcnow() + timedelta(hours=1))

    found = scrape(app)

    assert found["database_up",] == 1
    assert found["queue_messages", "queued"] == 2
    assert found["queue_messages", "deferred"] == 0
    assert 600 <= found["queue_late_seconds",] < 660


def test_processes_are_up_while_they_say_so(app: Flask, gateway: Gateway) -> None:
    gateway.heartbeat("worker")

    found = scrape(app)

    assert (found["process_up", "worker"], found["process_up", "submission"]) == (1, 0)


def test_refusals_and_failures_show_without_names(app: Flask, gateway: Gateway) -> None:
    make_domain(gateway)
    _, key = make_api_key(gateway)
    with pytest.raises(Refused) as caught:
        gateway.authenticate_key(key[:-4] + "xxxx", OFFICE)
    gateway.refuse(caught.value, OFFICE)
    gateway.ledger.close()

    found = scrape(app)

    assert found["recent_failed_attempts",] == 1
    assert found["recent_refusals", "key_invalid"] == 1
    assert not any("example" in part or OFFICE.ip in part for sample in found for part in sample)


def test_the_certificate_s_end_is_told(app: Flask, gateway: Gateway) -> None:
    ensure_certificate(gateway.settings)

    ends = scrape(app)["tls_certificate_expires_timestamp_seconds",]

    assert timedelta(days=390) < timedelta(seconds=ends - utcnow().timestamp()) < timedelta(days=400)
