"""The bell and the digest: what is told, how often, and to whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from tests.support.factories import OFFICE, PASSWORD, make_api_key, make_domain, make_smtp_user
from webapp.core.models import Admin, Alert, Delivery, Message, MessageSource, utcnow
from webapp.core.rules.refusals import Refused
from webapp.core.services import admins, alerts, domains
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.digest import PACE, mail_digest
from webapp.core.services.gateway import Gateway

NOW = utcnow()
HOUR = timedelta(hours=1)


def told(gateway: Gateway) -> list[tuple[str, str, int]]:
    """Kind, subject and count of each alert, oldest first."""
    with gateway.database.session() as session:
        return [(a.kind, a.subject, a.times) for a in session.scalars(select(Alert).order_by(Alert.id))]


def test_what_happens_again_soon_raises_the_count_and_later_is_told_anew(gateway: Gateway) -> None:
    for at in (NOW, NOW + HOUR / 2, NOW + 2 * HOUR):
        with gateway.database.session() as session:
            alerts.happened(session, "lockout", "192.0.2.1", "It was locked.", at)

    assert told(gateway) == [("lockout", "192.0.2.1", 2), ("lockout", "192.0.2.1", 1)]


def test_a_state_is_told_once_until_it_ends(gateway: Gateway) -> None:
    for at in (NOW, NOW + HOUR):
        with gateway.database.session() as session:
            alerts.holds(session, "blocklist", "a.example", "It gives wrong answers.", at)
            alerts.holds(session, "blocklist", "b.example", "It gives wrong answers.", at)
    with gateway.database.session() as session:
        alerts.ended(session, "blocklist", NOW, still=["b.example"])
        alerts.holds(session, "blocklist", "a.example", "It gives wrong answers.", NOW + 2 * HOUR)

    assert told(gateway) == [
        ("blocklist", "a.example", 1),
        ("blocklist", "b.example", 1),
        ("blocklist", "a.example", 1),
    ]


def test_each_admin_has_what_they_have_not_seen(gateway: Gateway) -> None:
    with gateway.database.session() as session:
        ann = admins.create(session, COMMAND_LINE, email="ann@example.com", role="owner", password=PASSWORD)
        bob = admins.create(session, COMMAND_LINE, email="bob@example.com", role="viewer", password=PASSWORD)
        alerts.happened(session, "lockout", "192.0.2.1", "It was locked.", utcnow() + timedelta(seconds=1))
        session.flush()
        later = utcnow() + timedelta(seconds=2)
        assert (alerts.unread(session, ann, later), alerts.unread(session, bob, later)) == (1, 1)
        alerts.mark_seen(session, ann, later)
        assert (alerts.unread(session, ann, later), alerts.unread(session, bob, later)) == (0, 1)


def test_a_first_use_from_a_new_network_is_told_but_not_the_first_of_all(gateway: Gateway) -> None:
    make_domain(gateway)
    make_smtp_user(gateway)
    for ip in ("192.0.2.10", "192.0.2.99", "203.0.113.5", "203.0.113.6"):
        gateway.authenticate_smtp("printer@example.com", PASSWORD, replace(OFFICE, ip=ip))
    gateway.ledger.close()

    assert told(gateway) == [("new_network", "smtp_user printer@example.com", 1)]
    with gateway.database.session() as session:
        assert "203.0.113.5" in session.scalars(select(Alert.text)).one()


def test_a_lock_is_told(gateway: Gateway) -> None:
    for number in range(gateway.settings.lockout_failures):
        with pytest.raises(Refused):
            gateway.authenticate_smtp(f"guess{number}@example.com", PASSWORD, OFFICE)
    gateway.ledger.close()

    assert told(gateway) == [("lockout", "addresses", 1)]
    with gateway.database.session() as session:
        text = session.scalars(select(Alert.text)).one()
    assert text == "The address 192.0.2.10 is locked out for 5 minutes after 10 failed log-ins."


class TestDigest:
    """Mailed to owners, at most once an hour, from a sender whose domain may send."""

    @pytest.fixture(autouse=True)
    def office(self, gateway: Gateway) -> None:
        with gateway.database.session() as session:
            for email, role in (
                ("ann@example.org", "owner"),
                ("bob@example.org", "owner"),
                ("eve@example.org", "viewer"),
            ):
                admins.create(session, COMMAND_LINE, email=email, role=role, password=PASSWORD)
            domains.add(session, COMMAND_LINE, "example.com", vouch=True)
            gateway.preferences.store(
                session, COMMAND_LINE, {"delivery": "relay", "alerts_sender": "alerts@example.com"}
            )
            alerts.happened(session, "lockout", "192.0.2.1", "192.0.2.1 was locked.", NOW)

    def mail(self, gateway: Gateway, now: datetime = NOW) -> str | None:
        with gateway.database.session() as session:
            current = gateway.preferences.read(session)
            return mail_digest(session, current, now, base_url="https://mail.example.com", hostname="mail.example.com")

    def test_owners_get_it_once(self, gateway: Gateway) -> None:
        message_id = self.mail(gateway)
        assert message_id
        assert self.mail(gateway, NOW + 2 * PACE) is None
        with gateway.database.session() as session:
            message = session.get_one(Message, message_id)
            source = session.get_one(MessageSource, message_id).source.decode()
            recipients = session.scalars(select(Delivery.recipient).order_by(Delivery.id)).all()
        assert (message.from_email, message.status, message.captured) == ("alerts@example.com", "queued", False)
        assert recipients == ["ann@example.org", "bob@example.org"]
        assert "192.0.2.1 was locked." in source
        assert "Auto-Submitted: auto-generated" in source
        assert "https://mail.example.com/admin/alerts/" in source

    def test_two_are_an_hour_apart(self, gateway: Gateway) -> None:
        assert self.mail(gateway)
        with gateway.database.session() as session:
            alerts.happened(session, "lockout", "192.0.2.2", "192.0.2.2 was locked.", NOW + PACE / 2)
        assert self.mail(gateway, NOW + PACE / 2) is None
        assert self.mail(gateway, NOW + PACE)

    def test_nothing_leaves_in_capture_or_without_a_sender(self, gateway: Gateway) -> None:
        for change in ({"delivery": "capture"}, {"delivery": "relay", "alerts_sender": None}):
            with gateway.database.session() as session:
                gateway.preferences.store(session, COMMAND_LINE, change)
            assert self.mail(gateway) is None

    def test_an_unverified_domain_sends_none_and_it_goes_out_later(self, gateway: Gateway) -> None:
        with gateway.database.session() as session:
            domains.set_vouched(session, COMMAND_LINE, domains.find(session, "example.com"), vouched=False)
        assert self.mail(gateway) is None
        with gateway.database.session() as session:
            domains.set_vouched(session, COMMAND_LINE, domains.find(session, "example.com"), vouched=True)
        assert self.mail(gateway)

    def test_an_api_key_of_the_domain_does_not_see_it(self, gateway: Gateway) -> None:
        from integrations.api import create_api
        from webapp import create_app

        make_api_key(gateway)
        message_id = self.mail(gateway)
        _, key = make_api_key(gateway)
        app = create_app(gateway.settings)
        app.register_blueprint(create_api(gateway))
        client = app.test_client()
        assert client.get("/v1/messages", headers={"X-API-Key": key}).json == {"data": []}
        assert client.get(f"/v1/messages/{message_id}", headers={"X-API-Key": key}).status_code == 404


def test_disabled_owners_are_left_alone(gateway: Gateway) -> None:
    with gateway.database.session() as session:
        admins.create(session, COMMAND_LINE, email="ann@example.org", role="owner", password=PASSWORD)
        session.scalars(select(Admin)).one().disabled_at = NOW
        domains.add(session, COMMAND_LINE, "example.com", vouch=True)
        gateway.preferences.store(session, COMMAND_LINE, {"delivery": "relay", "alerts_sender": "a@example.com"})
        alerts.happened(session, "lockout", "192.0.2.1", "It was locked.", NOW)
        current = gateway.preferences.read(session)
        assert mail_digest(session, current, NOW, base_url="https://x.example", hostname="x.example") is None
