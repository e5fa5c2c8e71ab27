"""The door in front of the real services and a real database, and the process itself."""

from __future__ import annotations

import re
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from tests.smtpd.submission.wire import PATIENCE, RunningServer, plain, until, write_certificate
from webapp import gateway_of
from webapp.core.models import Message, MessageSource, Refusal, SmtpUser
from webapp.core.rules.quotas import Limits
from webapp.core.services import credentials, domains, quotas
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway

USER, PASSWORD = "printer@example.test", "Correct-Horse"
MESSAGE = b"From: Printer <printer@example.test>\r\nBcc: hidden@r.test\r\nSubject: scan\r\n\r\nbody\r\n"


def furnish(gateway: Gateway, users: int = 1) -> None:
    """A domain and its users, and a certificate."""
    if not gateway.settings.tls_files[0].exists():
        write_certificate(*gateway.settings.tls_files)
    with gateway.database.session() as session:
        domain = domains.add(session, COMMAND_LINE, "example.test", vouch=True)
        for n in range(users):
            name = USER if n == 0 else f"user{n}@example.test"
            credentials.create_smtp_user(session, COMMAND_LINE, domain=domain, username=name, password=PASSWORD)


@pytest.fixture
def make_service(make_app: Callable[..., Flask]) -> Iterator[Callable[..., tuple[RunningServer, Gateway]]]:
    """Servers in front of the real services; keyword arguments are settings."""
    running: list[RunningServer] = []

    def make(users: int = 1, **overrides: Any) -> tuple[RunningServer, Gateway]:
        gateway = gateway_of(make_app(**overrides))
        furnish(gateway, users)
        running.append(RunningServer(gateway, grace=1.0))
        return running[-1], gateway

    yield make
    for server in running:
        server.stop()


MakeService = Callable[..., tuple[RunningServer, Gateway]]


def test_what_is_accepted_is_in_the_database(make_service: MakeService) -> None:
    server, gateway = make_service()
    with server.logged_in(USER.upper(), PASSWORD) as wire:
        wire.begin("a@r.test", "b@r.test")
        wire.send(MESSAGE + b".\r\n")
        reply = wire.reply()
    assert reply.startswith("250 2.0.0 Accepted as ")
    with gateway.database.session() as session:
        message = session.scalars(select(Message)).one()
        source = session.scalars(select(MessageSource)).one()
    assert reply.endswith(f" {message.id}")
    assert message.envelope_from == USER
    text = bytes(source.source)
    assert b"hidden@r.test" not in text
    assert b"from client.test ([127.0.0.1])" in text
    assert b"with ESMTPSA" in text


def test_sender_rules_answer_in_their_own_codes(make_service: MakeService) -> None:
    server, gateway = make_service()
    with server.logged_in(USER, PASSWORD) as wire:
        reply = wire.command("MAIL FROM:<boss@elsewhere.test>")
        assert reply.startswith("553 5.7.1")
        assert wire.command("MAIL FROM:<x@sub.example.test>").startswith("553 5.7.1")
        wire.begin()
        wire.send(b"From: boss@elsewhere.test\r\n\r\nbody\r\n.\r\n")
        assert wire.reply().startswith("550 5.7.1")
        wire.begin()
        wire.send(b"Received: x\r\n" * 60 + MESSAGE + b".\r\n")
        assert wire.reply().startswith("554 5.4.6")
    reference = re.search(r"\[ref (\w+)\]", reply)
    assert reference

    def noted() -> Refusal | None:
        with gateway.database.session() as session:
            return session.scalar(select(Refusal).where(Refusal.reference == reference[1]))

    until(noted)
    refusal = noted()
    assert refusal is not None
    assert (refusal.door, refusal.ip, refusal.name) == ("smtp", "127.0.0.1", USER)


def test_an_address_that_guesses_is_locked_out(make_service: MakeService) -> None:
    server, _ = make_service(lockout_failures=3)
    with server.greeted(tls=True) as wire:
        for n in range(3):
            assert wire.command("AUTH PLAIN " + plain(USER, f"Wrong-{n}")).startswith("535 5.7.8")
        assert wire.command("AUTH PLAIN " + plain(USER, PASSWORD)).startswith("421 4.7.0")
        assert wire.closed()
    for tls in (False, True):
        with server.connect(tls=tls) as wire:
            assert wire.reply().startswith("421 4.7.0")
            assert wire.closed()


def test_while_the_database_is_locked_mail_is_refused_for_now(
    make_service: MakeService, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server, gateway = make_service()
    if gateway.database.engine.dialect.name != "sqlite":
        pytest.skip("locks SQLite's file")
    with server.logged_in(USER, PASSWORD) as wire:
        other = sqlite3.connect(gateway.database.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        wire.begin()
        wire.send(MESSAGE + b".\r\n")
        assert wire.reply().startswith("451 4.3.0")
        other.execute("ROLLBACK")
        other.close()
        wire.begin()
        wire.send(MESSAGE + b".\r\n")
        assert wire.reply().startswith("250 2.0.0")
    with gateway.database.session() as session:
        assert len(session.scalars(select(Message)).all()) == 1


def test_while_the_database_is_gone_nobody_can_log_in(make_service: MakeService, tmp_path: Path) -> None:
    server, gateway = make_service()
    if gateway.database.engine.dialect.name != "sqlite":
        pytest.skip("moves SQLite's file away")
    path, away = gateway.database.path, tmp_path / "away.db"
    gateway.database.engine.dispose()
    path.rename(away)
    with server.greeted(tls=True) as wire:
        assert wire.command("AUTH PLAIN " + plain(USER, PASSWORD)).startswith("454 4.7.0")
        away.rename(path)
        assert wire.command("AUTH PLAIN " + plain(USER, PASSWORD)).startswith("235 2.7.0")


@pytest.mark.usefixtures("real_hashes")
def test_twenty_log_ins_at_once_hold_up_nobody(make_service: MakeService) -> None:
    server, _ = make_service(users=20)
    with server.greeted(ehlo=False) as other:
        crowd = [server.greeted(tls=True) for _ in range(20)]
        done = []
        reading = [threading.Thread(target=lambda wire=wire: done.append(wire.reply())) for wire in crowd]
        for n, wire in enumerate(crowd):
            name = USER if n == 0 else f"user{n}@example.test"
            wire.send(f"AUTH PLAIN {plain(name, PASSWORD)}\r\n")
        slowest = 0.0
        for thread in reading:
            thread.start()
        while any(thread.is_alive() for thread in reading):
            reading[-1].join(0.05)  # a hundred commands in a row would be junk
            started = time.perf_counter()
            other.command("EHLO other.test")
            with server.greeted():
                slowest = max(slowest, time.perf_counter() - started)
        for thread in reading:
            thread.join(PATIENCE)
        for wire in crowd:
            wire.socket.close()
    assert [reply[:9] for reply in done] == ["235 2.7.0"] * 20
    assert 0 < slowest < 0.5


@pytest.mark.usefixtures("real_hashes")
def test_an_unknown_user_and_a_wrong_password_take_equally_long(make_service: MakeService) -> None:
    server, _ = make_service(lockout_failures=1000)
    took: dict[str, list[float]] = {USER: [], "nobody@example.test": []}
    replies = set()
    for n in range(30):
        with server.greeted(tls=True) as wire:
            for name, times in took.items():
                line = "AUTH PLAIN " + plain(name, f"Wrong-{n:03}")
                started = time.perf_counter()
                reply = wire.command(line)
                times.append(time.perf_counter() - started)
                replies.add(re.sub(r"\[ref \w+\]", "", reply))
    assert len(replies) == 1
    known, unknown = (statistics.median(times) for times in took.values())
    assert abs(known - unknown) < 0.25 * max(known, unknown), (known, unknown)


def test_limits_are_told_as_temporary(make_service: Callable[..., tuple[RunningServer, Gateway]]) -> None:
    server, gateway = make_service()
    with gateway.database.session() as session:
        user = session.scalars(select(SmtpUser)).one()
        quotas.set_limits(session, COMMAND_LINE, user, Limits(messages_per_hour=1, recipients_per_message=2))
    with server.logged_in(USER, PASSWORD) as wire:
        wire.begin("a@r.test")
        assert wire.command(MESSAGE + b".").startswith("250 2.0.0")
        assert wire.command(f"MAIL FROM:<{USER}>").startswith("250 2.1.0")
        replies = [wire.command(f"RCPT TO:<{name}@r.test>")[:9] for name in "abc"]
        assert replies == ["250 2.1.5", "250 2.1.5", "452 4.5.3"]
        assert wire.command("DATA").startswith("354 ")
        reply = wire.command(MESSAGE + b".")
        assert reply.startswith("450 4.7.1 The limit of 1 message an hour for this log-in is reached")
        assert wire.command("NOOP").startswith("250 ")
