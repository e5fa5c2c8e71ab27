"""Who is exempt from which lock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from tests.core.services.test_locks import ANN, answer, at, gateway, guesses, held, lock_the_credential, log_in
from tests.support.factories import OFFICE, PASSWORD, make_smtp_user
from webapp.core.models import KnownAddress, utcnow
from webapp.core.rules.refusals import Reason
from webapp.core.services import admins, credentials
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway

__all__ = ["gateway"]


def test_an_address_of_a_past_success_is_spared(gateway: Gateway) -> None:
    assert answer(gateway, PASSWORD, OFFICE) is None
    gateway.verdicts.submit(lambda session: None).result(10)
    lock_the_credential(gateway)

    assert answer(gateway, PASSWORD, OFFICE) is None
    assert answer(gateway, "Wrong-9", OFFICE) is Reason.AUTH_FAILED
    with gateway.database.session() as session:
        session.execute(update(KnownAddress).values(succeeded_at=utcnow() - timedelta(days=31)))
    assert answer(gateway, PASSWORD, OFFICE) is Reason.CREDENTIAL_LOCKED


def test_failures_from_a_spared_address_do_not_count_against_the_credential(gateway: Gateway) -> None:
    for host in range(1, 6):
        assert answer(gateway, PASSWORD, at(host)) is None
    gateway.verdicts.submit(lambda session: None).result(10)
    for host, wrong in zip(range(1, 6), guesses(), strict=False):
        assert answer(gateway, wrong, at(host)) is Reason.AUTH_FAILED

    assert held(gateway) == {}


@pytest.mark.parametrize(
    ("allowed", "ip", "is_spared"),
    [
        ("198.51.100.0/24", "198.51.100.7", True),
        ("198.51.100.7", "198.51.100.7", True),
        ("198.51.0.0/16", "198.51.100.7", False),
        ("198.51.0.0/16, 198.51.100.0/25", "198.51.100.7", True),
        ("2001:db8:1::/48", "2001:db8:1:2::3", True),
        ("2001:db8::/32", "2001:db8:1:2::3", False),
        ("0.0.0.0/0", "198.51.100.7", False),
    ],
)
def test_an_allowed_list_spares_what_it_names_closely(gateway: Gateway, allowed: str, ip: str, is_spared: bool) -> None:
    make_smtp_user(gateway, "shop@example.com", allowed=allowed)
    lock_the_credential(gateway, "shop@example.com")

    expected = None if is_spared else Reason.CREDENTIAL_LOCKED
    assert answer(gateway, PASSWORD, replace(OFFICE, ip=ip), "shop@example.com") is expected


def test_an_allowed_list_spares_nobody_from_the_other_locks(gateway: Gateway) -> None:
    make_smtp_user(gateway, "shop@example.com", allowed="203.0.113.0/24")
    for wrong, _ in zip(guesses(), range(4), strict=False):
        answer(gateway, wrong, at(1), "shop@example.com")

    assert answer(gateway, PASSWORD, at(1), "shop@example.com") is Reason.ADDRESS_LOCKED


def test_a_panel_login_is_locked_but_not_for_where_it_was_used_from(gateway: Gateway) -> None:
    with gateway.database.session() as session:
        admins.create(session, COMMAND_LINE, email=ANN, password=PASSWORD)
    assert log_in(gateway, PASSWORD, "198.51.100.1") is None
    gateway.verdicts.submit(lambda session: None).result(10)
    for host, wrong in zip((1, 1, 2, 3), guesses(), strict=False):
        log_in(gateway, wrong, f"203.0.113.{host}")

    assert log_in(gateway, PASSWORD, "203.0.113.9") is Reason.CREDENTIAL_LOCKED
    assert log_in(gateway, PASSWORD, "198.51.100.1") is None


def test_an_owner_in_the_same_ipv6_network_is_known(gateway: Gateway) -> None:
    assert answer(gateway, PASSWORD, replace(OFFICE, ip="2001:db8::1")) is None
    gateway.verdicts.submit(lambda session: None).result(10)
    lock_the_credential(gateway)

    assert answer(gateway, PASSWORD, replace(OFFICE, ip="2001:db8::ffff:2")) is None
    assert answer(gateway, PASSWORD, replace(OFFICE, ip="2001:db8:0:1::1")) is Reason.CREDENTIAL_LOCKED


def test_the_never_lock_list_frees_at_once_but_not_from_the_credential_s_lock(gateway: Gateway) -> None:
    for wrong, _ in zip(guesses(), range(4), strict=False):
        answer(gateway, wrong, at(1))
    assert answer(gateway, PASSWORD, at(1)) is Reason.ADDRESS_LOCKED
    with gateway.database.session() as session:
        gateway.preferences.store(session, COMMAND_LINE, {"never_lock": "203.0.113.1"})
    assert answer(gateway, PASSWORD, at(1)) is None

    make_smtp_user(gateway, "shop@example.com")
    for host, wrong in zip((2, 2, 3, 4), guesses(), strict=False):
        answer(gateway, wrong, at(host), "shop@example.com")
    assert answer(gateway, PASSWORD, at(1), "shop@example.com") is Reason.CREDENTIAL_LOCKED


def test_a_user_who_comes_again_under_an_old_name_knows_no_addresses(gateway: Gateway) -> None:
    assert answer(gateway, PASSWORD, OFFICE) is None
    gateway.verdicts.submit(lambda session: None).result(10)
    with gateway.database.session() as session:
        credentials.delete(session, COMMAND_LINE, session.get_one(credentials.CredentialRow, 1))
    make_smtp_user(gateway)
    lock_the_credential(gateway)

    assert answer(gateway, PASSWORD, OFFICE) is Reason.CREDENTIAL_LOCKED
