"""Greeting, commands around mail, and clients that don't speak SMTP as they must."""

from __future__ import annotations

import threading

import pytest

from smtpd.submission.protocol import SubmissionProtocol
from tests.smtpd.submission.conftest import MakeServer
from tests.smtpd.submission.memory_gateway import PASSWORD, USER, MemoryGateway
from tests.smtpd.submission.wire import RunningServer, Wire
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Peer

OFFERS = ["SIZE 26214400", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES"]


def test_ehlo_offers_auth_inside_tls_only(server: RunningServer) -> None:
    with server.greeted(ehlo=False) as wire:
        assert wire.ehlo() == [*OFFERS, "STARTTLS"]
        assert wire.command("STARTTLS").startswith("220 2.0.0")
        wire.wrap()
        assert wire.ehlo() == [*OFFERS, "AUTH PLAIN LOGIN"]
    with server.greeted(tls=True, ehlo=False) as wire:
        assert wire.ehlo() == [*OFFERS, "AUTH PLAIN LOGIN"]


def test_every_command_is_ours() -> None:
    commands = [name for name in dir(SubmissionProtocol) if name.startswith(("smtp_", "auth_"))]
    inherited = {name for name in commands if getattr(SubmissionProtocol, name).__module__.startswith("aiosmtpd")}
    assert {name for name in inherited if name.startswith("smtp_")} == set()


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("NOOP", "250 2.0.0"),
        ("noop whatever", "250 2.0.0"),
        ("RSET", "250 2.0.0"),
        ("VRFY someone", "252 2.5.2"),
        ("VRFY", "501 5.5.4"),
        ("EXPN list", "502 5.5.1"),
        ("HELP", "214 2.0.0"),
        ("HELP MAIL", "214 2.0.0"),
        ("BDAT 10 LAST", "502 5.5.1"),
        ("ETRN x", "502 5.5.1"),
        ("XCLIENT ADDR=127.0.0.1", "500 5.5.2"),
        ("XFORWARD NAME=x", "500 5.5.2"),
        ("FOO", "500 5.5.2"),
        ("smtp_MAIL", "500 5.5.2"),
        ("__init__", "500 5.5.2"),
        ("", "500 5.5.2"),
        ("   ", "500 5.5.2"),
        (" NOOP", "500 5.5.2"),
        (b"NO\x00OP", "500 5.5.2"),
        (b"NOOP \x00", "500 5.5.2"),
        (b"NOOP \x1b[2J", "500 5.5.2"),
        (b"NOOP\rMAIL", "500 5.5.2"),
        (b"\xff\xfe", "500 5.5.2"),
        (b"NOOP \xc3\xbc", "501 5.5.4"),
        ("EHLO", "501 5.5.4"),
        ("EHLO two words", "501 5.5.4"),
        (b"EHLO b\xc3\xbcro", "501 5.5.4"),
        ("EHLO " + "x" * 256, "501 5.5.4"),
        ("HELO", "501 5.5.4"),
        ("QUIT now", "501 5.5.4"),
        ("NOOP " + "x" * 506, "500 5.5.2"),
        ("NOOP " + "x" * 505, "250 2.0.0"),
        ("x" * 20_000, "500 5.5.2"),
    ],
)
def test_commands(server: RunningServer, line: str | bytes, reply: str) -> None:
    with server.greeted() as wire:
        assert wire.command(line)[:9] == reply
        assert wire.command("QUIT").startswith("221 2.0.0")
        assert wire.closed()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\n",
        b"PUT /x HTTP/1.1\r\n",
        b"HEAD / HTTP/1.1\r\n",
        b"options * HTTP/1.1\r\n",
        b"CONNECT x:25 HTTP/1.1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
        b"NOOP\n",
        b"NOOP\nMAIL FROM:<a@b.test>\r\n",
        b"\n",
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_what_is_not_smtp_is_ended(server: RunningServer, data: bytes) -> None:
    with server.greeted() as wire:
        wire.send(data)
        assert wire.reply().startswith("554 5.5.0")
        assert wire.closed()


def test_octets_before_the_greeting_end_the_connection(server: RunningServer, gateway: MemoryGateway) -> None:
    arrived = threading.Event()
    gateway.on_admit = lambda peer: arrived.wait(5) and None
    for tls in (False, True):
        arrived.clear()
        with server.connect(tls=tls) as wire:
            wire.send("EHLO hasty.test\r\n")
            arrived.set()
            assert wire.reply().startswith("554 5.5.0")
            assert wire.closed()


def test_octets_after_data_and_before_354_end_the_connection(wire: Wire, gateway: MemoryGateway) -> None:
    assert wire.command("MAIL FROM:<printer@example.test>").startswith("250")
    wire.send("RCPT TO:<a@r.test>\r\nDATA\r\nSubject: hasty\r\n\r\nbody\r\n.\r\n")
    assert wire.reply().startswith("250 2.1.5")
    assert wire.reply().startswith("554 5.5.0")
    assert wire.closed()
    assert gateway.submissions == []


@pytest.mark.parametrize("rest", ["EHLO evil.test\r\n", "x"])
def test_nothing_is_processed_that_came_in_clear_after_starttls(server: RunningServer, rest: str) -> None:
    with server.greeted() as wire:
        wire.send("STARTTLS\r\n" + rest)
        assert wire.reply().startswith("554 5.5.0")
        assert wire.closed()


def test_tls_forgets_what_was_said_before(server: RunningServer) -> None:
    with server.greeted() as wire:
        assert wire.command("STARTTLS").startswith("220")
        wire.wrap()
        assert wire.command("AUTH PLAIN").startswith("503 5.5.1")
        wire.ehlo()
        assert wire.command("STARTTLS").startswith("503 5.5.1")
        assert wire.command("NOOP").startswith("250")


def test_starttls_takes_no_argument_and_may_come_before_ehlo(server: RunningServer) -> None:
    with server.greeted(ehlo=False) as wire:
        assert wire.command("STARTTLS now").startswith("501 5.5.4")
        assert wire.command("STARTTLS").startswith("220")
        wire.wrap()
        assert wire.ehlo()
    with server.greeted(tls=True) as wire:
        assert wire.command("STARTTLS").startswith("503 5.5.1")


def test_a_handshake_that_fails_ends_the_connection(server: RunningServer) -> None:
    with server.greeted() as wire:
        assert wire.command("STARTTLS").startswith("220")
        wire.send("EHLO still in clear\r\n" * 10)
        wire.socket.recv(1000)  # perhaps an alert
        assert wire.closed()
    with server.greeted() as wire:
        assert wire.command("NOOP").startswith("250")


def test_a_blocklisted_client_may_only_quit(server: RunningServer, gateway: MemoryGateway) -> None:
    def refuse(peer: Peer) -> None:
        raise Refused(Reason.BLOCKLISTED, address=peer.ip, zone="xbl.test", listing=".")

    gateway.on_admit = refuse
    for tls in (False, True):
        with server.connect(tls=tls) as wire:
            reply = wire.reply()
            assert reply.startswith("554 5.7.1")
            assert "xbl.test" in reply
            assert wire.command("EHLO client.test").startswith("503 5.5.1")
            assert wire.command("STARTTLS").startswith("503 5.5.1")
            assert wire.command("NOPE").startswith("503 5.5.1")
            assert wire.command("QUIT").startswith("221 2.0.0")
            assert wire.closed()


def test_a_locked_client_is_told_so_and_cut(server: RunningServer, gateway: MemoryGateway) -> None:
    def refuse(peer: Peer) -> None:
        raise Refused(Reason.ADDRESS_LOCKED, address=peer.ip)

    gateway.on_admit = refuse
    for tls in (False, True):
        with server.connect(tls=tls) as wire:
            assert wire.reply().startswith("421 4.7.0")
            assert wire.closed()


def test_without_a_database_clients_are_let_in(server: RunningServer, gateway: MemoryGateway) -> None:
    def fail(peer: Peer) -> None:
        raise OSError("no database")

    gateway.on_admit = fail
    with server.greeted() as wire:
        assert wire.command("NOOP").startswith("250")


def test_an_exception_is_answered_without_its_text(wire: Wire, gateway: MemoryGateway) -> None:
    def fail(address: str) -> None:
        raise KeyError("SELECT secret")

    gateway.on_sender = fail
    reply = wire.command("MAIL FROM:<printer@example.test>")
    assert reply.startswith("451 4.3.0")
    assert "secret" not in reply
    assert "KeyError" not in reply
    gateway.on_sender = lambda address: None
    assert wire.command("MAIL FROM:<printer@example.test>").startswith("250")


def test_every_refusal_is_noted_under_its_reference(server: RunningServer, gateway: MemoryGateway) -> None:
    with server.greeted() as wire:
        reply = wire.command("NOPE")
    refused, peer, _ = gateway.refusals[-1]
    assert f"[ref {refused.reference}]" in reply
    assert (peer.ip, peer.client, peer.protocol) == ("127.0.0.1", "client.test", "ESMTP")


def test_the_command_limits_of_one_connection_are_not_another_s(make_server: MakeServer) -> None:
    server, _ = make_server()
    with server.logged_in(USER, PASSWORD) as first, server.logged_in(USER, PASSWORD) as second:
        for _ in range(3):
            first.ehlo()
        long = "MAIL FROM:<printer@example.test> AUTH=" + "x" * 1100
        assert first.command(long).startswith("500 5.5.2")
        assert second.command(long).startswith("500 5.5.2")
