"""The acceptance path: what is stored, what is refused, and what a promise is worth."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from tests.support.factories import (
    OFFICE,
    PASSWORD,
    make_domain,
    make_smtp_user,
    source,
    submission,
)
from webapp import gateway_of
from webapp.core.models import CredentialRow, Delivery, IdempotencyKey, Message, MessageSource, utcnow
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Accepted, Credential, Submission
from webapp.core.services import credentials, domains
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway


@pytest.fixture
def credential(gateway: Gateway) -> Credential:
    make_domain(gateway)
    make_smtp_user(gateway)
    return gateway.authenticate_smtp("printer@example.com", PASSWORD, OFFICE)


def accept(gateway: Gateway, given: Submission) -> Accepted:
    return gateway.submit(given).result(timeout=20)


def reason(gateway: Gateway, given: Submission) -> Reason:
    with pytest.raises(Refused) as caught:
        accept(gateway, given)
    return caught.value.reason


def test_an_accepted_message_is_stored_with_one_row_a_recipient(gateway: Gateway, credential: Credential) -> None:
    accepted = accept(
        gateway,
        submission(
            credential,
            recipients=("ann@example.org", "bob@example.net", "ann@EXAMPLE.org"),
            source=source(extra="Bcc: bob@example.net\r\nX-Postlatch-Tag: order\r\n"),
        ),
    )

    with gateway.database.session() as session:
        message = session.get_one(Message, accepted.id)
        stored = session.get_one(MessageSource, accepted.id).source
        assert [d.recipient for d in message.deliveries] == ["ann@example.org", "bob@example.net"]
        assert (message.status, message.subject, message.tag) == ("queued", "Your order", "order")
        assert message.size == len(stored)
    head = stored.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"Received: from printer.example.com ([192.0.2.10])")
    assert b"by mail.postlatch.test" in head
    assert b"\r\nDate: " in head
    assert b"\r\nMessage-ID: <" in head
    assert b"Bcc" not in head
    assert b"X-Postlatch" not in head


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"envelope_from": "shop@example.net"}, Reason.SENDER_NOT_ALLOWED),
        ({"envelope_from": "shop@sub.example.com"}, Reason.SENDER_NOT_ALLOWED),
        ({"envelope_from": ""}, Reason.SENDER_NOT_ALLOWED),
        ({"source": source("shop@example.net")}, Reason.FROM_NOT_ALLOWED),
        ({"recipients": ()}, Reason.NO_RECIPIENTS),
        ({"recipients": ("ann@localhost",)}, Reason.RECIPIENT_INVALID),
        ({"recipients": tuple(f"u{n}@example.org" for n in range(1001))}, Reason.TOO_MANY_RECIPIENTS),
        ({"source": source(extra="Received: by x\r\n" * 51)}, Reason.LOOP),
    ],
)
def test_what_is_refused(gateway: Gateway, credential: Credential, change: dict, expected: Reason) -> None:
    assert reason(gateway, submission(credential, **change)) is expected
    with gateway.database.session() as session:
        assert session.scalar(select(func.count()).select_from(Message)) == 0


def test_a_message_over_the_limit_is_refused(make_app: Callable[..., Flask]) -> None:
    gateway = gateway_of(make_app(max_message_mb=1))
    make_domain(gateway)
    make_smtp_user(gateway)
    credential = gateway.authenticate_smtp("printer@example.com", PASSWORD, OFFICE)

    big = source(body="x" * 2**20)
    assert reason(gateway, submission(credential, source=big)) is Reason.TOO_LARGE


def test_an_unverified_domain_may_send_in_capture_only(make_app: Callable[..., Flask]) -> None:
    gateway = gateway_of(make_app(delivery="relay", relay_url="smtp://127.0.0.1:2"))
    make_domain(gateway)
    make_smtp_user(gateway)
    credential = gateway.authenticate_smtp("printer@example.com", PASSWORD, OFFICE)

    assert reason(gateway, submission(credential)) is Reason.DOMAIN_UNVERIFIED
    with gateway.database.session() as session:
        domains.set_vouched(session, COMMAND_LINE, domains.find(session, "example.com"), vouched=True)
    assert accept(gateway, submission(credential)).status == "queued"


def test_a_credential_disabled_in_mid_session_sends_nothing_more(gateway: Gateway, credential: Credential) -> None:
    with gateway.database.session() as session:
        row = session.get_one(CredentialRow, credential.id)
        credentials.set_disabled(session, COMMAND_LINE, row, disabled=True)

    assert reason(gateway, submission(credential)) is Reason.CREDENTIAL_REVOKED


def test_ten_parallel_retries_bring_one_message(gateway: Gateway, credential: Credential) -> None:
    given = submission(credential, idempotency_key="order-1")
    with ThreadPoolExecutor(10) as pool:
        accepted = list(pool.map(lambda _: accept(gateway, given), range(10)))

    assert len({(a.id, a.created_at) for a in accepted}) == 1
    with gateway.database.session() as session:
        assert session.scalar(select(func.count()).select_from(Message)) == 1


def test_retries_through_two_processes_bring_one_message(make_app: Callable[..., Flask]) -> None:
    first, second = gateway_of(make_app()), gateway_of(make_app())
    make_domain(first)
    make_smtp_user(first)
    credential = first.authenticate_smtp("printer@example.com", PASSWORD, OFFICE)
    given = submission(credential, idempotency_key="order-1")
    with ThreadPoolExecutor(10) as pool:
        accepted = list(pool.map(lambda n: accept((first, second)[n % 2], given), range(10)))

    assert len({a.id for a in accepted}) == 1


def test_an_idempotency_key_is_for_one_message_and_for_a_day(gateway: Gateway, credential: Credential) -> None:
    first = accept(gateway, submission(credential, idempotency_key="k"))

    other = submission(credential, idempotency_key="k", source=source(body="Other.\r\n"))
    assert reason(gateway, other) is Reason.IDEMPOTENCY_REUSED
    with gateway.database.session() as session:
        session.execute(update(IdempotencyKey).values(created_at=utcnow() - timedelta(hours=25)))
    assert accept(gateway, other).id != first.id


def test_scheduled_mail_waits(gateway: Gateway, credential: Credential) -> None:
    later = utcnow() + timedelta(hours=1)
    accepted = accept(gateway, submission(credential, send_at=later))

    assert accepted.status == "scheduled"
    with gateway.database.session() as session:
        delivery = session.scalars(select(Delivery)).one()
        assert (delivery.status, delivery.due_at) == ("scheduled", later)


def test_one_refused_message_does_not_harm_those_that_share_its_commit(
    gateway: Gateway, credential: Credential
) -> None:
    ghost = Credential("smtp_user", 999, "ghost", credential.domain_id, "example.com", 0)
    futures = [gateway.submit(submission(c)) for c in (credential, ghost, credential)]

    assert isinstance(futures[1].exception(timeout=20), Refused)
    assert futures[0].result().id != futures[2].result().id


def test_a_locked_database_answers_and_mends_by_itself(make_app: Callable[..., Flask]) -> None:
    gateway = gateway_of(make_app())
    if gateway.database.engine.dialect.name != "sqlite":
        pytest.skip("locks the database file")
    make_domain(gateway)
    make_smtp_user(gateway)
    credential = gateway.authenticate_smtp("printer@example.com", PASSWORD, OFFICE)
    other = sqlite3.connect(gateway.database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert reason(gateway, submission(credential)) is Reason.STORAGE
    finally:
        other.execute("ROLLBACK")
        other.close()

    assert accept(gateway, submission(credential)).status == "queued"


def test_sqlite_runs_with_its_safety_on(gateway: Gateway) -> None:
    if gateway.database.engine.dialect.name != "sqlite":
        pytest.skip("SQLite only")
    with gateway.database.engine.connect() as connection:
        asked = ("journal_mode", "synchronous", "foreign_keys")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]
    assert found == ["wal", 2, 1]
