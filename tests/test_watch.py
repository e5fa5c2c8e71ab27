"""What the worker looks at every minute, and when it rings."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from tests.support.factories import make_api_key, make_domain, make_smtp_user
from tests.support.queue import enqueue
from webapp import watch
from webapp.core.models import Alert, ApiKeyRow, BlocklistZone, Delivery, utcnow
from webapp.core.services.gateway import Gateway
from webapp.watch import watch_job


def look(gateway: Gateway) -> dict[str, str]:
    """Let the job look once; return the states that hold, kind to text."""

    async def once() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(watch_job(gateway).run(stop))
        asyncio.get_running_loop().call_soon(stop.set)
        await running

    asyncio.run(once())
    with gateway.database.session() as session:
        return {alert.kind: alert.text for alert in session.scalars(select(Alert).where(Alert.ended_at.is_(None)))}


def test_a_queue_that_stands_still_rings_until_it_drains(gateway: Gateway) -> None:
    make_domain(gateway)
    enqueue(gateway, "ann@example.org", "bob@example.org", due_at=utcnow() - timedelta(hours=2))

    assert "2 recipients" in look(gateway)["queue"]
    with gateway.database.session() as session:
        session.execute(update(Delivery).values(due_at=None))
    assert look(gateway) == {}


def test_a_certificate_that_ends_soon_rings(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(gateway) == {}, "our own is made when there is none"
    monkeypatch.setattr(watch, "CERTIFICATE_SOON", timedelta(days=400))
    assert "expires on" in look(gateway)["certificate"]
    gateway.settings.tls_files[0].write_text("nonsense")
    monkeypatch.setattr(watch, "ensure_certificate", lambda _: None)  # as with a certificate that settings name
    assert "can't be read" in look(gateway)["certificate"]


def test_a_credential_that_ends_soon_rings_until_it_is_given_a_later_date(gateway: Gateway) -> None:
    make_domain(gateway)
    key_id, _ = make_api_key(gateway, note="Zapier", expires_at=utcnow() + timedelta(days=13))
    make_smtp_user(gateway, expires_at=utcnow() + timedelta(days=15))
    make_api_key(gateway, note="over", expires_at=utcnow() - timedelta(days=1))
    assert "(Zapier) of example.com expires on" in look(gateway)["expiry"]
    with gateway.database.session() as session:
        assert len(session.scalars(select(Alert)).all()) == 1
        session.get_one(ApiKeyRow, key_id).expires_at = utcnow() + timedelta(days=100)
    assert look(gateway) == {}


def test_a_failing_blocklist_rings_until_it_is_well_or_off(gateway: Gateway) -> None:
    with gateway.database.session() as session:
        zone = BlocklistZone(zone="bl.example", health="wrong", said="It lists everybody.", failing_since=utcnow())
        zone.demoted_at = utcnow()
        session.add(zone)
    assert "bl.example gives wrong answers" in look(gateway)["blocklist"]
    with gateway.database.session() as session:
        session.scalars(select(BlocklistZone)).one().state = "off"
    assert look(gateway) == {}
