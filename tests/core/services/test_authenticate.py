"""Who is let in, what counts as a failure, and what a locked address hears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from tests.support.factories import OFFICE, PASSWORD, make_api_key, make_domain, make_smtp_user
from webapp import gateway_of
from webapp.core.models import AuditEntry, CredentialRow, CredentialSecret, FailedAttempt, SmtpUser, utcnow
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.services import credentials, locks
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway

ELSEWHERE = replace(OFFICE, ip="203.0.113.5")


@pytest.fixture
def user_id(gateway: Gateway) -> int:
    make_domain(gateway)
    return make_smtp_user(gateway)


def refusal(gateway: Gateway, username: str, password: str, peer=OFFICE) -> Refused:
    with pytest.raises(Refused) as caught:
        gateway.authenticate_smtp(username, password, peer)
    return caught.value


def test_the_right_password_lets_in_whatever_the_case_of_the_name(gateway: Gateway, user_id: int) -> None:
    credential = gateway.authenticate_smtp("Printer@EXAMPLE.com", PASSWORD, OFFICE)

    assert (credential.id, credential.domain) == (user_id, "example.com")


def test_every_smtp_refusal_sounds_alike_and_tells_the_log_why(gateway: Gateway, user_id: int) -> None:
    make_smtp_user(gateway, "expired@example.com", expires_at=utcnow() - timedelta(days=1))
    make_smtp_user(gateway, "elsewhere@example.com", allowed="198.51.100.0/24")
    make_smtp_user(gateway, "disabled@example.com")
    with gateway.database.session() as session:
        row = credentials.find(session, SmtpUser, "disabled@example.com")
        credentials.set_disabled(session, COMMAND_LINE, row, disabled=True)

    heard = {
        refusal(gateway, name, password).cause: refusal(gateway, name, password)
        for name, password in [
            ("printer@example.com", "Wrong-one"),
            ("nobody@example.com", PASSWORD),
            ("expired@example.com", PASSWORD),
            ("elsewhere@example.com", PASSWORD),
            ("disabled@example.com", PASSWORD),
        ]
    }

    assert set(heard) == {"wrong_password", "unknown_user", "expired", "address_not_allowed", "disabled"}
    assert len({(r.reason, r.sentence) for r in heard.values()}) == 1


def test_a_right_password_from_a_disallowed_address_is_not_a_failure(gateway: Gateway) -> None:
    make_domain(gateway)
    make_smtp_user(gateway, allowed="198.51.100.0/24")
    for _ in range(15):
        assert refusal(gateway, "printer@example.com", PASSWORD).cause == "address_not_allowed"

    with gateway.database.session() as session:
        assert session.scalars(select(FailedAttempt)).all() == []


def test_ten_failures_lock_the_address_for_right_and_wrong_secrets_at_every_door(
    gateway: Gateway, user_id: int
) -> None:
    _, key = make_api_key(gateway)
    for number in range(10):
        assert refusal(gateway, f"guess{number}@example.com", "Wrong-one").reason is Reason.AUTH_FAILED

    assert refusal(gateway, "printer@example.com", PASSWORD).reason is Reason.ADDRESS_LOCKED
    with pytest.raises(Refused) as caught:
        gateway.authenticate_key(key, OFFICE)
    assert caught.value.reason is Reason.ADDRESS_LOCKED
    assert 0 < (caught.value.retry_after or 0) <= 300
    with pytest.raises(Refused):
        gateway.admit(OFFICE)
    assert gateway.authenticate_smtp("printer@example.com", PASSWORD, ELSEWHERE).id == user_id


def test_one_stale_password_counts_once(gateway: Gateway, user_id: int) -> None:
    for _ in range(30):
        refusal(gateway, "printer@example.com", "Old-password")

    assert gateway.authenticate_smtp("printer@example.com", PASSWORD, OFFICE).id == user_id


def test_one_password_sprayed_over_many_names_locks(gateway: Gateway, user_id: int) -> None:
    for number in range(10):
        refusal(gateway, f"user{number}@example.com", "Summer-2026")

    assert refusal(gateway, "printer@example.com", PASSWORD).reason is Reason.ADDRESS_LOCKED


def test_an_ipv6_network_is_one_address(gateway: Gateway, user_id: int) -> None:
    for number in range(10):
        refusal(gateway, f"u{number}@example.com", "Wrong-one", replace(OFFICE, ip=f"2001:db8::{number:x}"))

    locked = refusal(gateway, "printer@example.com", PASSWORD, replace(OFFICE, ip="2001:db8::ffff:1"))
    assert locked.reason is Reason.ADDRESS_LOCKED
    assert gateway.authenticate_smtp("printer@example.com", PASSWORD, replace(OFFICE, ip="2001:db8:0:1::1"))


def test_a_lock_grows_when_repeated_and_a_cleared_one_forgives(gateway: Gateway, user_id: int) -> None:
    def guess_ten(mark: str) -> None:
        for number in range(10):
            refusal(gateway, f"{mark}{number}@example.com", "Wrong-one")

    guess_ten("a")
    with gateway.database.session() as session:
        first = locks.in_force(session, utcnow())[0]
        assert first.locked_until - first.locked_at == timedelta(minutes=5)
        assert locks.clear(session, COMMAND_LINE, utcnow(), ip=OFFICE.ip) == 1
    assert gateway.authenticate_smtp("printer@example.com", PASSWORD, OFFICE)

    guess_ten("b")
    with gateway.database.session() as session:
        second = locks.in_force(session, utcnow())[0]
        assert second.locked_until - second.locked_at == timedelta(minutes=30)


def test_trusted_proxies_and_the_never_lock_list_are_exempt(make_app: Callable[..., Flask]) -> None:
    gateway = gateway_of(make_app(trusted_proxies="192.0.2.0/24"))
    make_domain(gateway)
    make_smtp_user(gateway)
    with gateway.database.session() as session:
        gateway.preferences.store(session, COMMAND_LINE, {"never_lock": "203.0.113.0/24"})
    for number in range(12):
        for peer in (OFFICE, ELSEWHERE):
            refusal(gateway, f"u{number}@example.com", "Wrong-one", peer)

    for peer in (OFFICE, ELSEWHERE):
        assert gateway.authenticate_smtp("printer@example.com", PASSWORD, peer)


def test_the_log_never_holds_a_password(gateway: Gateway, user_id: int) -> None:
    refusal(gateway, "printer@example.com", "Wrong-Secret-1")
    gateway.ledger.close()

    with gateway.database.session() as session:
        attempt = session.scalars(select(FailedAttempt)).one()
        told = repr({column.name: getattr(attempt, column.key) for column in FailedAttempt.__table__.columns})
        told += repr([entry.changes for entry in session.scalars(select(AuditEntry))])
    assert "Wrong-Secret-1" not in told
    assert PASSWORD not in told


def test_api_keys_say_what_is_wrong_once_the_secret_is_right(gateway: Gateway) -> None:
    make_domain(gateway)
    _, expired = make_api_key(gateway, expires_at=utcnow() - timedelta(seconds=1))
    _, locked = make_api_key(gateway, allowed="198.51.100.7")
    _, good = make_api_key(gateway)

    def reason(text: str) -> Reason:
        with pytest.raises(Refused) as caught:
            gateway.authenticate_key(text, OFFICE)
        return caught.value.reason

    assert reason(expired) is Reason.KEY_EXPIRED
    assert reason(locked) is Reason.ADDRESS_NOT_ALLOWED
    assert reason(good[:-1] + ("a" if good[-1] != "a" else "b")) is Reason.KEY_INVALID
    assert reason("nonsense") is Reason.KEY_INVALID
    assert gateway.authenticate_key(good, OFFICE).domain == "example.com"


def test_rotation_lets_old_and_new_in_and_tells_who_still_uses_the_old(gateway: Gateway, user_id: int) -> None:
    with gateway.database.session() as session:
        new = credentials.rotate(session, COMMAND_LINE, session.get_one(CredentialRow, user_id))

    by_new = gateway.authenticate_smtp("printer@example.com", new, ELSEWHERE)
    by_old = gateway.authenticate_smtp("printer@example.com", PASSWORD, OFFICE)
    gateway.ledger.close()

    assert by_new.secret_id != by_old.secret_id
    with gateway.database.session() as session:
        row = session.get_one(CredentialRow, user_id)
        assert [use.ip for use in credentials.old_secret_uses(session, row)] == [OFFICE.ip]
        session.execute(
            update(CredentialSecret).where(CredentialSecret.id == by_old.secret_id).values(expires_at=utcnow())
        )
    assert refusal(gateway, "printer@example.com", PASSWORD).cause == "wrong_password"
    assert gateway.authenticate_smtp("printer@example.com", new, OFFICE)


def test_state_is_read_at_every_attempt_also_when_the_password_is_remembered(gateway: Gateway, user_id: int) -> None:
    gateway.authenticate_smtp("printer@example.com", PASSWORD, OFFICE)
    with gateway.database.session() as session:
        credentials.set_disabled(session, COMMAND_LINE, session.get_one(CredentialRow, user_id), disabled=True)

    assert refusal(gateway, "printer@example.com", PASSWORD).cause == "disabled"


def test_without_a_database_log_ins_wait(gateway: Gateway, user_id: int) -> None:
    if gateway.database.engine.dialect.name != "sqlite":
        pytest.skip("moves the database file away")
    aside = gateway.database.path.with_suffix(".aside")
    gateway.database.path.rename(aside)
    try:
        assert refusal(gateway, "printer@example.com", PASSWORD).reason is Reason.AUTH_UNAVAILABLE
        assert not gateway.database.path.exists()
    finally:
        aside.rename(gateway.database.path)

    assert gateway.authenticate_smtp("printer@example.com", PASSWORD, OFFICE).id == user_id


def test_who_logged_in_goes_first_from_there_in_every_process(gateway: Gateway, user_id: int) -> None:
    assert not gateway.is_familiar(OFFICE.ip)
    gateway.authenticate_smtp("printer@example.com", PASSWORD, OFFICE)
    refusal(gateway, "printer@example.com", "Wrong-one", ELSEWHERE)
    gateway.verdicts.close()

    other = Gateway(gateway.settings)
    other.heartbeat("submission")
    for process in (gateway, other):
        assert process.is_familiar(OFFICE.ip)
        assert not process.is_familiar(ELSEWHERE.ip)
    other.close()
