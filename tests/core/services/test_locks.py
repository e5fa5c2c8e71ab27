"""The three locks: what counts towards each, whom it spares, and what a burst of guesses gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from tests.support.factories import OFFICE, PASSWORD, make_api_key, make_domain, make_smtp_user
from webapp import gateway_of
from webapp.core.models import FailedAttempt, Lock, utcnow
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Peer
from webapp.core.services import admins, locks
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway

USER = "printer@example.com"
ANN = "ann@example.com"


@pytest.fixture
def gateway(make_app: Callable[..., Flask]) -> Gateway:
    """With few failures before a lock, so that the tests hash little."""
    made = gateway_of(make_app(lockout_failures=4))
    make_domain(made)
    make_smtp_user(made)
    return made


def at(host: int, net: str = "203.0.113") -> Peer:
    return replace(OFFICE, ip=f"{net}.{host}")


def answer(gateway: Gateway, password: str, peer: Peer = OFFICE, name: str = USER) -> Reason | None:
    """How the door answers; None when it lets in."""
    try:
        gateway.authenticate_smtp(name, password, peer)
    except Refused as refused:
        return refused.reason
    return None


def log_in(gateway: Gateway, password: str, ip: str, email: str = ANN) -> Reason | None:
    try:
        gateway.authenticator.admin(email, password, Peer("panel", ip))
    except Refused as refused:
        return refused.reason
    return None


def guesses() -> Iterator[str]:
    """Wrong passwords, each another."""
    return (f"Wrong-{number}" for number in range(1000))


def held(gateway: Gateway) -> dict[str, str]:
    with gateway.database.session() as session:
        return {lock.scope: str(lock) for lock in locks.in_force(session, utcnow())}


def lock_the_credential(gateway: Gateway, name: str = USER) -> None:
    """Three addresses, so that none of them gets far enough to be locked itself."""
    wrong = guesses()
    answers = [answer(gateway, next(wrong), at(host), name) for host in (1, 1, 2, 3)]
    assert answers == [Reason.AUTH_FAILED] * 4


@pytest.mark.parametrize("name", [USER, "nobody@example.com"])
def test_failures_from_anywhere_lock_the_credential_whether_it_exists_or_not(gateway: Gateway, name: str) -> None:
    lock_the_credential(gateway, name)

    for password in (PASSWORD, "Wrong-9", "Wrong-0"):
        assert answer(gateway, password, at(4), name) is Reason.CREDENTIAL_LOCKED
    assert held(gateway) == {"credential": name}
    other = "other@example.com" if name != USER else "nobody@example.com"
    assert answer(gateway, "Wrong-9", at(4), other) is Reason.AUTH_FAILED


def test_what_a_locked_credential_answers_tells_nothing(gateway: Gateway) -> None:
    heard = []
    for name in (USER, "nobody@example.com"):
        lock_the_credential(gateway, name)
        for password in (PASSWORD, "Wrong-9"):
            with pytest.raises(Refused) as caught:
                gateway.authenticate_smtp(name, password, at(9))
            heard.append((caught.value.sentence, type(caught.value.retry_after)))

    assert len(set(heard)) == 1
    assert heard[0][1] is int


def test_only_three_failures_of_one_address_count_against_the_credential(gateway: Gateway) -> None:
    wrong = guesses()
    for _ in range(4):
        answer(gateway, next(wrong), at(1))
    assert held(gateway) == {"address": "203.0.113.1", "pair": f"{USER} from 203.0.113.1"}

    assert answer(gateway, next(wrong), at(2)) is Reason.AUTH_FAILED
    assert held(gateway)["credential"] == USER


def test_a_success_clears_its_pair_and_only_it(gateway: Gateway) -> None:
    wrong = guesses()
    for _ in range(3):
        answer(gateway, next(wrong), at(1))
    assert answer(gateway, PASSWORD, at(1)) is None
    assert answer(gateway, next(wrong), at(1)) is Reason.AUTH_FAILED

    assert held(gateway) == {"address": "203.0.113.1"}  # the pair has one failure, the address four


def test_a_pair_is_locked_where_its_address_was_forgiven(gateway: Gateway) -> None:
    wrong = guesses()
    for _ in range(4):
        answer(gateway, next(wrong), at(1))
    with gateway.database.session() as session:
        address = session.scalars(select(Lock).where(Lock.scope == "address")).one()
        locks.unlock(session, COMMAND_LINE, address, utcnow())

    assert answer(gateway, PASSWORD, at(1)) is Reason.CREDENTIAL_LOCKED
    assert answer(gateway, "Wrong-x", at(1), "other@example.com") is Reason.AUTH_FAILED


def test_ten_stale_clients_with_one_old_password_lock_nothing(gateway: Gateway) -> None:
    for host in range(1, 11):
        for _ in range(2):
            assert answer(gateway, "Old-password", at(host)) is Reason.AUTH_FAILED

    assert held(gateway) == {}
    assert answer(gateway, PASSWORD, at(1)) is None


def test_the_same_secret_counts_again_in_the_next_window(gateway: Gateway) -> None:
    answer(gateway, "Old-password")
    with gateway.database.session() as session:
        session.execute(update(FailedAttempt).values(at=utcnow() - timedelta(minutes=16)))
    answer(gateway, "Old-password")

    with gateway.database.session() as session:
        assert len(session.scalars(select(FailedAttempt)).all()) == 2


def test_guesses_at_smtp_do_not_lock_the_panel(gateway: Gateway) -> None:
    with gateway.database.session() as session:
        admins.create(session, COMMAND_LINE, email=USER, password=PASSWORD)
    lock_the_credential(gateway)

    assert log_in(gateway, PASSWORD, "198.51.100.1", USER) is None


def test_an_api_key_has_no_lock_of_its_own(gateway: Gateway) -> None:
    _, key = make_api_key(gateway)
    for host in range(1, 7):
        with pytest.raises(Refused) as caught:
            gateway.authenticate_key(f"{key[:-8]}{host:08}", at(host))
        assert caught.value.reason is Reason.KEY_INVALID

    assert gateway.authenticate_key(key, at(9))
    assert held(gateway) == {}


def test_a_burst_gets_no_more_answers_than_the_threshold(gateway: Gateway) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda wrong: answer(gateway, wrong), [f"Wrong-{n}" for n in range(12)]))

    assert answers.count(Reason.AUTH_FAILED) == 4
    assert set(answers) == {Reason.AUTH_FAILED, Reason.ADDRESS_LOCKED}


def test_a_right_password_that_was_hashed_while_the_lock_came_is_not_let_in(
    gateway: Gateway, make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    from webapp.core.services import authenticate

    real, others = authenticate.matching, gateway_of(make_app(lockout_failures=4))

    def others_are_quicker(password: str, hashes: list[str]) -> int | None:
        if password == PASSWORD:
            for wrong, _ in zip(guesses(), range(4), strict=False):
                answer(others, wrong)
        return real(password, hashes)

    monkeypatch.setattr(authenticate, "matching", others_are_quicker)
    assert answer(gateway, PASSWORD) is Reason.ADDRESS_LOCKED


def test_a_lock_hashes_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    from webapp.core.services import authenticate

    lock_the_credential(gateway)
    monkeypatch.setattr(authenticate, "matching", lambda *_: pytest.fail("hashed"))
    assert answer(gateway, PASSWORD, at(9)) is Reason.CREDENTIAL_LOCKED


def test_a_failure_that_can_not_be_counted_is_not_judged(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bool:
        raise RuntimeError

    monkeypatch.setattr(gateway.locks, "count", fail)
    assert answer(gateway, "Wrong-1") is Reason.AUTH_UNAVAILABLE


def test_two_processes_share_every_counter(gateway: Gateway, make_app: Callable[..., Flask]) -> None:
    other = gateway_of(make_app(lockout_failures=4))
    wrong = guesses()
    for door in (gateway, other, gateway, other):
        assert answer(door, next(wrong)) is Reason.AUTH_FAILED

    assert {answer(door, PASSWORD) for door in (gateway, other)} == {Reason.ADDRESS_LOCKED}


def test_a_cleared_name_may_log_in_again(gateway: Gateway) -> None:
    lock_the_credential(gateway)
    for wrong, _ in zip(guesses(), range(4), strict=False):
        answer(gateway, f"x{wrong}", at(20), "someone@example.com")
    with gateway.database.session() as session:
        assert locks.clear(session, COMMAND_LINE, utcnow(), name="Printer@Example.com") == 1

    assert answer(gateway, PASSWORD, at(9)) is None
    assert held(gateway) == {"address": "203.0.113.20", "pair": "someone@example.com from 203.0.113.20"}


def test_a_lock_grows_by_the_ladder_and_starts_again_after_a_day_without(gateway: Gateway) -> None:
    lengths, number = [], 0
    for _ in range(5):
        for _ in range(4):
            number += 1
            answer(gateway, f"Wrong-{number}", at(1), f"u{number}@example.com")
        with gateway.database.session() as session:
            lock = session.scalars(select(Lock).where(Lock.scope == "address")).one()
            lengths.append((lock.locked_until - lock.locked_at) / timedelta(minutes=5))
            lock.locked_until = utcnow()
    assert lengths == [1, 6, 24, 288, 288]

    with gateway.database.session() as session:
        session.execute(update(Lock).values(locked_until=utcnow() - timedelta(hours=24)))
    for _ in range(4):
        number += 1
        answer(gateway, f"Wrong-{number}", at(1), f"u{number}@example.com")
    with gateway.database.session() as session:
        lock = session.scalars(select(Lock).where(Lock.scope == "address")).one()
        assert (lock.locked_until - lock.locked_at) == timedelta(minutes=5)


def test_a_long_name_is_still_another_name(gateway: Gateway) -> None:
    for number in range(4):
        answer(gateway, "Summer-2026", at(1), f"{'x' * 400}{number}@example.com")
    assert answer(gateway, PASSWORD, at(1)) is Reason.ADDRESS_LOCKED


def test_a_right_password_that_is_of_no_use_costs_the_same_write_and_counts_nothing(gateway: Gateway) -> None:
    make_smtp_user(gateway, "away@example.com", allowed="198.51.100.0/24")
    written: list[str] = []
    submit = gateway.verdicts.submit
    gateway.verdicts.submit = lambda work: (written.append("write"), submit(work))[1]  # type: ignore[method-assign]
    for _ in range(6):
        assert answer(gateway, PASSWORD, at(1), "away@example.com") is Reason.AUTH_FAILED
    assert answer(gateway, "Wrong-1", at(1), "away@example.com") is Reason.AUTH_FAILED

    assert len(written) == 7
    with gateway.database.session() as session:
        assert len(session.scalars(select(FailedAttempt)).all()) == 1
