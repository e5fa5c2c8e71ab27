"""AUTH PLAIN and LOGIN on real sockets."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from tests.smtpd.submission.conftest import MakeServer
from tests.smtpd.submission.memory_gateway import PASSWORD, USER, MemoryGateway
from tests.smtpd.submission.wire import PATIENCE, RunningServer, Wire, encoded, plain
from webapp.core.rules.refusals import Reason, Refused

RIGHT = plain(USER, PASSWORD)


@pytest.fixture
def wire(server: RunningServer) -> Iterator[Wire]:
    """A client inside TLS that is not logged in."""
    with server.greeted(tls=True) as wire:
        yield wire


@pytest.mark.parametrize(
    ("lines", "replies"),
    [
        ([f"AUTH PLAIN {RIGHT}"], ["235 2.7.0"]),
        ([f"auth plain {RIGHT}"], ["235 2.7.0"]),
        (["AUTH Plain", RIGHT], ["334 ", "235 2.7.0"]),
        ([f"AUTH PLAIN {plain(USER, PASSWORD, USER.upper())}"], ["235 2.7.0"]),
        (["AUTH LOGIN", encoded(USER), encoded(PASSWORD)], ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 2.7.0"]),
        ([f"auth login {encoded(USER)}", encoded(PASSWORD)], ["334 UGFzc3dvcmQ6", "235 2.7.0"]),
        (["AUTH LOGIN =", encoded(USER), encoded(PASSWORD)], ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 2.7.0"]),
        ([f"AUTH PLAIN {plain(USER, 'wrong')}"], ["535 5.7.8"]),
        ([f"AUTH PLAIN {plain('nobody@example.test', PASSWORD)}"], ["535 5.7.8"]),
        ([f"AUTH PLAIN {plain(USER, PASSWORD, 'boss@example.test')}"], ["535 5.7.8"]),
        ([f"AUTH PLAIN {plain(USER, '')}"], ["535 5.7.8"]),
        (["AUTH LOGIN", encoded(USER), ""], ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "535 5.7.8"]),
        (["AUTH PLAIN ="], ["501 5.5.2"]),
        (["AUTH PLAIN !!!"], ["501 5.5.2"]),
        (["AUTH PLAIN YQ"], ["501 5.5.2"]),
        ([f"AUTH PLAIN {encoded('no separators')}"], ["501 5.5.2"]),
        ([f"AUTH PLAIN {encoded(chr(0) * 3)}"], ["501 5.5.2"]),
        ([f"AUTH PLAIN {encoded(b'x' + bytes(1) + USER.encode() + bytes(1) + bytes([255]))}"], ["501 5.5.2"]),
        (["AUTH LOGIN", encoded(b"\xff\xfe"), encoded(PASSWORD)], ["334 VXNlcm5hbWU6", "501 5.5.2"]),
        (["AUTH PLAIN", "*"], ["334 ", "501 5.7.0"]),
        (["AUTH LOGIN", encoded(USER), "*"], ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "501 5.7.0"]),
        (["AUTH LOGIN", "not base64"], ["334 VXNlcm5hbWU6", "501 5.5.2"]),
        (["AUTH"], ["501 5.5.4"]),
        (["AUTH CRAM-MD5"], ["504 5.5.4"]),
        (["AUTH XOAUTH2 abc"], ["504 5.5.4"]),
        ([f"AUTH PLAIN {RIGHT} more"], ["501 5.5.4"]),
    ],
)
def test_auth(wire: Wire, lines: list[str], replies: list[str]) -> None:
    for line, expected in zip(lines, replies, strict=False):
        reply = wire.command(line)
        assert reply.startswith(expected), reply
    right = replies[-1].startswith("235")
    assert wire.command("MAIL FROM:<printer@example.test>").startswith("250" if right else "530")


def test_the_prompt_of_plain_is_empty(wire: Wire) -> None:
    assert wire.command("AUTH PLAIN") == "334 "


def test_auth_outside_tls_is_refused_whatever_it_says(server: RunningServer, gateway: MemoryGateway) -> None:
    with server.greeted() as wire:
        for line in ("AUTH PLAIN " + RIGHT, "AUTH LOGIN", "AUTH CRAM-MD5", "AUTH"):
            assert wire.command(line).startswith("538 5.7.11")
    assert gateway.attempts == []


def test_auth_comes_once_after_ehlo_and_not_within_a_message(wire: Wire, server: RunningServer) -> None:
    assert wire.command("AUTH PLAIN " + RIGHT).startswith("235")
    assert wire.command("AUTH PLAIN " + RIGHT).startswith("503 5.5.1")
    assert wire.command("MAIL FROM:<printer@example.test>").startswith("250")
    assert wire.command("AUTH PLAIN " + RIGHT).startswith("503 5.5.1")
    with server.greeted(tls=True, ehlo=False) as other:
        assert other.command("AUTH PLAIN " + RIGHT).startswith("503 5.5.1")
        assert other.command("HELO client.test").startswith("250")
        assert other.command("AUTH PLAIN " + RIGHT).startswith("503 5.5.1")


def test_lines_of_12288_octets_are_read_and_longer_ones_refused(wire: Wire, gateway: MemoryGateway) -> None:
    long = plain(USER, "x" * 9216)[:12_277]
    long = long[: len(long) // 4 * 4]
    assert wire.command(f"AUTH PLAIN {long}").startswith("535 5.7.8")
    assert wire.command("AUTH PLAIN").startswith("334")
    assert wire.command(encoded(b"\0" + USER.encode() + b"\0" + b"x" * (9216 - len(USER) - 2))).startswith("535 5.7.8")
    assert len(gateway.attempts) == 2
    assert wire.command("AUTH PLAIN").startswith("334")
    assert wire.command("A" * 12_289).startswith("500 5.5.2")
    assert wire.command("AUTH PLAIN " + "A" * 12_288).startswith("500 5.5.2")
    assert wire.command("AUTH PLAIN " + RIGHT).startswith("235")


def test_more_than_five_failures_end_the_connection(wire: Wire, gateway: MemoryGateway) -> None:
    for n in range(5):
        assert wire.command("AUTH PLAIN " + plain(USER, f"wrong{n}")).startswith("535 5.7.8")
    assert wire.command("AUTH PLAIN " + plain(USER, "wrong")).startswith("421 4.7.0")
    assert wire.closed()
    assert len(gateway.attempts) == 6
    reasons = [refused.reason for refused, _, _ in gateway.refusals]
    assert reasons == [Reason.AUTH_FAILED] * 6 + [Reason.TOO_MANY_ERRORS]
    assert {name for _, _, name in gateway.refusals} == {USER}


def test_the_sixth_try_may_be_right(wire: Wire) -> None:
    for n in range(5):
        assert wire.command("AUTH PLAIN " + plain(USER, f"wrong{n}")).startswith("535 5.7.8")
    assert wire.command("AUTH PLAIN " + RIGHT).startswith("235 2.7.0")


@pytest.mark.parametrize(
    ("reason", "reply", "ends"),
    [
        (Reason.CREDENTIAL_LOCKED, "454 4.7.0", False),
        (Reason.AUTH_UNAVAILABLE, "454 4.7.0", False),
        (Reason.ADDRESS_LOCKED, "421 4.7.0", True),
    ],
)
def test_locks_and_failures(wire: Wire, gateway: MemoryGateway, reason: Reason, reply: str, ends: bool) -> None:
    def refuse(username: str) -> None:
        raise Refused(reason, address="127.0.0.1")

    gateway.on_authenticate = refuse
    assert wire.command("AUTH PLAIN " + RIGHT).startswith(reply)
    assert wire.closed() if ends else wire.command("NOOP").startswith("250")


def test_log_ins_hold_up_nobody_else(server: RunningServer, gateway: MemoryGateway) -> None:
    released = threading.Event()
    gateway.on_authenticate = lambda username: released.wait(PATIENCE) and None
    waiting = [server.greeted(tls=True) for _ in range(8)]
    for wire in waiting:
        wire.send("AUTH PLAIN " + RIGHT + "\r\n")
    with server.greeted() as other:  # admit() runs in a thread too
        assert other.command("NOOP").startswith("250")
    released.set()
    for wire in waiting:
        assert wire.reply().startswith("235")
        wire.socket.close()


def test_no_secret_reaches_a_log(
    make_server: MakeServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    server, gateway = make_server()
    secrets = [RIGHT, encoded(PASSWORD), PASSWORD, "Sesame!Open"]

    def fail(username: str) -> None:
        raise RuntimeError(PASSWORD)

    with structlog.testing.capture_logs() as events:
        with server.greeted() as wire:
            wire.command("AUTH PLAIN " + RIGHT)
            wire.command(RIGHT)
            wire.command(encoded(PASSWORD))
            wire.command(PASSWORD)
        with server.greeted(tls=True) as wire:
            wire.command("AUTH PLAIN " + plain(USER, "Sesame!Open"))
            wire.command("AUTH " + RIGHT)
            gateway.on_authenticate = fail
            assert wire.command("AUTH PLAIN " + RIGHT).startswith("451 4.3.0")
        server.stop()
    shown = caplog.text + str(capfd.readouterr()) + repr(events)
    assert "unexpected_exception" in shown
    noted = " ".join(f"{r.sentence} {r.cause} {r.trace} {name}" for r, _, name in gateway.refusals)
    for secret in secrets:
        assert secret not in shown
        assert secret not in noted
