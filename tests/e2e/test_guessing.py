"""Guessing at the started services: over all doors, from many addresses, before and after a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.support.factories import PASSWORD, make_api_key, make_domain, make_smtp_user
from tests.support.guesser import Guesser
from tests.support.stack import Stack
from webapp import create_app, gateway_of
from webapp.core.models import utcnow
from webapp.core.services import admins, locks
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway
from webapp.settings import Settings

USER, ANN = "printer@example.com", "ann@example.com"
THRESHOLD = 5
#: What a door answers to a guess that it judged wrong, and when it doesn't judge at all.
WRONG, LOCKED = {535, 401}, {421, 454, 429}
#: Everything that might be believed.
LIES = {
    "X-Forwarded-For": "198.51.100.{n}",
    "Forwarded": "for=198.51.100.{n}",
    "X-Real-IP": "198.51.100.{n}",
    "True-Client-IP": "198.51.100.{n}",
    "CF-Connecting-IP": "198.51.100.{n}",
}
_numbers = count()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """With few failures before a lock, and trusted proxies at 127.0.7.7 and 127.0.7.8."""
    folder: Path = tmp_path_factory.mktemp("stack")
    with Stack(folder, lockout_failures=str(THRESHOLD), trusted_proxies="127.0.7.7,127.0.7.8") as started:
        yield started


@pytest.fixture(scope="module")
def gateway(stack: Stack) -> Iterator[Gateway]:
    """The services on the stack's database, in this process, with a domain, two SMTP users and a person."""
    opened = gateway_of(create_app(Settings(_env_file=None, data_dir=stack.data_dir)))
    make_domain(opened)
    for name in (USER, "shop@example.com"):
        make_smtp_user(opened, name)
    with opened.database.session() as session:
        admins.create(session, COMMAND_LINE, email=ANN, password=PASSWORD)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def key(gateway: Gateway) -> str:
    return make_api_key(gateway)[1]


def held(gateway: Gateway) -> set[str]:
    """What is locked now."""
    with gateway.database.session() as session:
        return {str(lock) for lock in locks.in_force(session, utcnow())}


def wrong() -> str:
    """A wrong password, each time another."""
    return f"Wrong-{next(_numbers)}"


def wrong_key(key: str) -> str:
    """*key* with another secret, each time another."""
    return f"{key[:-10]}{next(_numbers):010}"


def at_once(guesses: list[Callable[[], int]]) -> list[int]:
    with ThreadPoolExecutor(len(guesses)) as pool:
        return list(pool.map(lambda guess: guess(), guesses))


def judged(answers: list[int]) -> int:
    assert set(answers) <= WRONG | LOCKED, answers
    return sum(answer in WRONG for answer in answers)


def test_an_address_gets_no_more_guesses_than_the_threshold_over_all_doors_at_once(stack: Stack, key: str) -> None:
    owner = Guesser(stack, "127.0.9.1")
    assert owner.smtp(USER, PASSWORD) == 235

    def guesses(n: int) -> list[Callable[[], int]]:
        return [
            lambda: Guesser(stack, "127.0.1.1").smtp(f"user{n}@example.com", wrong()),
            lambda: Guesser(stack, "127.0.1.1").key(wrong_key(key)),
            lambda: Guesser(stack, "127.0.1.1").panel(f"person{n}@example.com", wrong()),
        ]

    answers = at_once([guess for n in range(4) for guess in guesses(n)])

    assert judged(answers) == THRESHOLD
    attacker = Guesser(stack, "127.0.1.1")
    assert attacker.smtp(USER, PASSWORD) == 421
    assert attacker.key(key) == 429
    assert int(attacker.answer["Retry-After"]) > 0
    assert attacker.panel(ANN, PASSWORD) == 429
    assert int(attacker.answer["Retry-After"]) > 0
    assert (owner.smtp(USER, PASSWORD), owner.key(key)) == (235, 200)


def test_a_credential_gets_no_more_guesses_than_the_threshold_from_anywhere(stack: Stack, key: str) -> None:
    owner = Guesser(stack, "127.0.9.1")
    assert owner.smtp(USER, PASSWORD) == 235
    attackers = [Guesser(stack, f"127.0.2.{host}") for host in range(1, 13)]

    def guess(attacker: Guesser) -> Callable[[], int]:
        return lambda: attacker.smtp(USER, wrong())

    answers = at_once([guess(attacker) for attacker in attackers])
    assert judged(answers) == THRESHOLD
    assert Guesser(stack, "127.0.2.99").smtp(USER, PASSWORD) == 454
    assert owner.smtp(USER, PASSWORD) == 235

    # A name that nobody has is locked alike, and in the same words.
    nobody = at_once(
        [lambda host=host: Guesser(stack, f"127.0.3.{host}").smtp("no@example.com", wrong()) for host in range(8)]
    )
    assert judged(nobody) == THRESHOLD
    heard = [Guesser(stack, "127.0.3.99"), Guesser(stack, "127.0.2.98")]
    assert [one.smtp(name, PASSWORD) for one, name in zip(heard, ("no@example.com", USER), strict=True)] == [454, 454]
    assert len({one.said.partition("[ref")[0] for one in heard}) == 1


def test_a_restart_forgets_nothing(stack: Stack, gateway: Gateway, key: str) -> None:
    half = Guesser(stack, "127.0.4.1")
    assert judged([half.smtp(f"restart{n}@example.com", wrong()) for n in range(3)]) == 3
    locked = held(gateway)
    assert {"127.0.1.1", USER} <= locked

    stack.stop()
    stack.start()

    assert held(gateway) == locked
    assert judged([half.key(wrong_key(key)) for _ in range(4)]) == THRESHOLD - 3
    assert Guesser(stack, "127.0.1.1").smtp("shop@example.com", PASSWORD) == 421
    assert Guesser(stack, "127.0.2.99").smtp(USER, PASSWORD) == 454
    assert Guesser(stack, "127.0.9.1").smtp(USER, PASSWORD) == 235


def test_lies_about_the_address_change_nothing(stack: Stack, key: str) -> None:
    liars = [
        Guesser(stack, "127.0.5.1", {name: text.format(n=n) for name, text in LIES.items()}) for n in range(THRESHOLD)
    ]
    answers = [liar.key(wrong_key(key)) for liar in liars[1:]]
    answers.append(liars[0].panel("liar@example.com", wrong()))
    assert judged(answers) == THRESHOLD
    assert Guesser(stack, "127.0.5.1", {"X-Forwarded-For": "127.0.9.1"}).key(key) == 429
    told = ("XCLIENT ADDR=198.51.100.1 LOGIN=x", "XFORWARD ADDR=198.51.100.1")
    other = Guesser(stack, "127.0.5.2")
    for n in range(THRESHOLD):
        assert other.smtp(f"liar{n}@example.com", wrong(), before=told) == 535
    assert other.smtp(USER, PASSWORD) == 421
    assert Guesser(stack, "127.0.9.1").smtp(USER, PASSWORD) == 235


def test_a_trusted_proxy_s_right_most_untrusted_hop_counts(stack: Stack, key: str) -> None:
    def by_proxy(chain: str) -> Guesser:
        return Guesser(stack, "127.0.7.7", {"X-Forwarded-For": chain})

    for n in range(THRESHOLD):
        assert by_proxy(f"192.0.2.{n}, 203.0.113.80, 127.0.7.8").key(wrong_key(key)) == 401
    assert by_proxy("203.0.113.80").key(key) == 429
    assert by_proxy("203.0.113.80, 203.0.113.81").key(key) == 200
    assert by_proxy("192.0.2.1").key(key) == 200


def test_the_command_line_lets_people_in_again(stack: Stack, gateway: Gateway, key: str) -> None:
    people = [Guesser(stack, f"127.0.6.{host}") for host in (1, 1, 1, 2, 2, 3)]
    assert judged([one.panel(ANN, wrong()) for one in people]) == THRESHOLD
    assert Guesser(stack, "127.0.6.9").panel(ANN, PASSWORD) == 429

    reset = stack.flask("admin", "reset", ANN)
    assert reset["locks_cleared"] == 1
    assert stack.get("/setup/" + reset["link"].rpartition("/")[2])[0] == 200
    assert Guesser(stack, "127.0.6.9").panel(ANN, PASSWORD) == 303

    shop = "shop@example.com"
    guessers = [Guesser(stack, f"127.0.10.{host}") for host in range(THRESHOLD)]
    assert judged([one.smtp(shop, wrong()) for one in guessers]) == THRESHOLD
    assert shop in {lock["subject"] for lock in stack.flask("lockout", "list")["data"]}
    assert stack.flask("lockout", "clear", "--username", shop)["cleared"] == 1
    assert Guesser(stack, "127.0.10.99").smtp(shop, PASSWORD) == 235
    for host in range(THRESHOLD):
        Guesser(stack, f"127.0.11.{host}").smtp(shop, wrong())
    assert stack.flask("lockout", "clear", "--all")["cleared"] >= 1
    assert held(gateway) == set()
