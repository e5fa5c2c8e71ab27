"""Counts, caps and deadlines."""

from __future__ import annotations

import socket
import time

import pytest

from smtpd.submission.limits import ConnectionCounter
from tests.smtpd.submission.conftest import MakeServer
from tests.smtpd.submission.memory_gateway import PASSWORD, USER
from tests.smtpd.submission.wire import PATIENCE, RunningServer, Wire, until
from webapp.core.rules.refusals import Reason


def test_more_than_twenty_errors_end_the_connection(server: RunningServer) -> None:
    with server.greeted() as wire:
        for _ in range(20):
            assert wire.command("NOPE").startswith("500 5.5.2")
        assert wire.command("NOPE").startswith("421 4.7.0")
        assert wire.closed()


@pytest.mark.parametrize("junk", ["NOOP", "RSET", "VRFY x", "", "HELO again.test"])
def test_more_than_a_hundred_junk_commands_end_the_connection(server: RunningServer, junk: str) -> None:
    with server.greeted() as wire:
        for _ in range(100):
            assert wire.command(junk)[:3] in {"250", "252", "500"}
        assert wire.command(junk).startswith("421 4.7.0")
        assert wire.closed()


def test_errors_and_junk_are_forgiven_with_each_message(wire: Wire) -> None:
    for _ in range(3):
        for _ in range(15):
            assert wire.command("NOPE").startswith("500")
        for _ in range(60):
            assert wire.command("RSET").startswith("250")
        wire.begin()
        assert wire.command(".").startswith("250")


def test_a_flood_of_commands_in_one_packet_is_cut(server: RunningServer) -> None:
    with server.greeted() as wire:
        wire.send(b"NOPE\r\n" * 100_000)
        replies = [wire.reply()[:3] for _ in range(21)]
        assert replies == ["500"] * 20 + ["421"]
        assert wire.closed()


def test_a_line_that_never_ends_is_cut_and_not_kept(make_server: MakeServer) -> None:
    server, gateway = make_server({"discarded_line": 200_000})
    with server.greeted() as wire:
        try:
            for _ in range(100):
                wire.send(b"x" * 10_000)
        except OSError:
            return  # cut before everything was sent
        assert wire.reply().startswith("421 4.7.0")
    assert gateway.refusals[-1][0].cause == "endless_line"


def test_connections_are_capped_and_counted_down(make_server: MakeServer) -> None:
    server, gateway = make_server(max_connections=3)
    for tls in (False, True):
        wires = [server.greeted() for _ in range(3)]
        with server.connect(tls=tls) as crowd:
            assert crowd.reply().startswith("421 4.7.0")
            assert crowd.closed()
        assert gateway.refusals[-1][0].reason is Reason.TOO_MANY_CONNECTIONS
        for wire in wires:
            assert wire.command("QUIT").startswith("221")
            assert wire.closed()
            wire.socket.close()
        until(lambda: not server.server.connections)
    with server.greeted() as wire:
        assert wire.command("NOOP").startswith("250")


def test_connections_of_one_address_are_capped(make_server: MakeServer) -> None:
    server, _ = make_server(max_connections_per_ip=2)
    with server.greeted(), server.greeted():
        with server.connect() as third:
            assert third.reply().startswith("421 4.7.0")
        with server.connect(source="127.0.0.2") as other:
            assert other.reply().startswith("220")


def test_an_ipv6_network_counts_as_one_address() -> None:
    counter = ConnectionCounter(10, 2)
    assert counter.enter("2001:db8::1")
    assert counter.enter("2001:db8::2")
    assert not counter.enter("2001:db8::3")
    assert counter.enter("2001:db8:0:1::1")
    assert counter.enter("192.0.2.1")
    counter.leave("2001:db8::3")
    counter.leave("2001:db8::2")
    assert counter.enter("2001:db8::9")


@pytest.mark.parametrize("tls", [False, True])
def test_an_idle_client_is_told_so(make_server: MakeServer, tls: bool) -> None:
    server, _ = make_server({"idle": 0.3})
    with server.greeted(tls=tls) as wire:
        assert wire.reply().startswith("421 4.4.2")
        assert wire.closed()


def test_a_line_must_end_in_time(make_server: MakeServer) -> None:
    server, _ = make_server({"line": 0.5})
    with server.greeted() as wire:
        started = time.monotonic()
        wire.socket.settimeout(0.1)
        reply = ""
        while not reply and time.monotonic() < started + PATIENCE:
            wire.send("N")
            try:
                reply = wire.reply()
            except TimeoutError:
                continue
        assert reply.startswith("421 4.4.2")
        assert time.monotonic() - started < 3


def test_a_message_must_come_at_some_speed(make_server: MakeServer) -> None:
    server, gateway = make_server({"data": 0.5, "data_rate": 10_000})
    with server.logged_in(USER, PASSWORD) as wire:
        wire.begin()
        wire.socket.settimeout(0.1)
        reply = ""
        started = time.monotonic()
        while not reply and time.monotonic() < started + PATIENCE:
            wire.send("x")
            try:
                reply = wire.reply()
            except TimeoutError:
                continue
        assert reply.startswith("421 4.4.2")
    with server.logged_in(USER, PASSWORD) as wire:
        wire.begin()
        wire.socket.settimeout(PATIENCE)
        for _ in range(10):  # 1 s in all: longer than 0.5 s, and faster than 10,000 octets a second
            wire.send(b"x" * 4000 + b"\r\n")
            time.sleep(0.1)
        wire.send(".\r\n")
        assert wire.reply().startswith("250")
    assert len(gateway.submissions) == 1


def test_an_idle_client_within_a_message_is_told_so(make_server: MakeServer) -> None:
    server, _ = make_server({"idle": 0.3})
    with server.logged_in(USER, PASSWORD) as wire:
        wire.begin()
        assert wire.reply().startswith("421 4.4.2")


def test_a_client_that_reads_nothing_is_cut(make_server: MakeServer) -> None:
    server, _ = make_server({"unread": 0.3, "junk_commands": 10_000_000})
    with server.greeted() as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.socket.settimeout(PATIENCE)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            wire.send(b"NOOP\r\n" * 10_000_000)
    until(lambda: not server.server.connections)


def test_a_handshake_must_end_in_time(make_server: MakeServer) -> None:
    server, _ = make_server({"handshake": 0.3})
    with server.greeted() as wire:
        assert wire.command("STARTTLS").startswith("220")
        assert wire.closed()
    with Wire(server.tls_port) as wire:
        assert wire.closed()
    until(lambda: not server.server.connections)


def test_a_client_that_closes_its_side_still_gets_its_answers(server: RunningServer) -> None:
    with server.greeted() as wire:
        wire.send("NOOP\r\nNOPE\r\n")
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.reply().startswith("250")
        assert wire.reply().startswith("500")
        assert wire.closed()
