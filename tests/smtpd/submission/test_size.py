"""Large messages, endless ones, and how much of them is kept."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from tests.smtpd.submission.conftest import MakeServer
from tests.smtpd.submission.memory_gateway import PASSWORD, USER, MemoryGateway, receipt
from tests.smtpd.submission.wire import PATIENCE, RunningServer, Wire, plain
from webapp.core.rules.submission import Submission

MEGABYTE = 1024 * 1024


def test_a_message_of_the_largest_size_is_taken_and_one_octet_more_is_not(make_server: MakeServer) -> None:
    server, gateway = make_server(max_message_mb=1)
    with server.logged_in(USER, PASSWORD) as wire:
        wire.begin()
        wire.send(b"x" * (MEGABYTE - 2) + b"\r\n.\r\n")
        assert wire.reply().startswith("250")
        wire.begin()
        wire.send(b"x" * (MEGABYTE - 1) + b"\r\n.\r\n")
        assert wire.reply().startswith("552 5.3.4")
        wire.begin()
        assert wire.command(".").startswith("250")
    assert [len(s.source) for s in gateway.submissions] == [MEGABYTE, 0]
    assert server.environment.budget.used == 0


def test_beyond_twice_the_limit_the_connection_is_closed(make_server: MakeServer) -> None:
    server, gateway = make_server(max_message_mb=1)
    for tls in (True, False):
        with server.logged_in(USER, PASSWORD) if tls else _starttls(server) as wire:
            wire.begin()
            wire.send(b"x" * (2 * MEGABYTE + 10))
            assert wire.reply().startswith("552 5.3.4")
            assert wire.closed()
    assert gateway.submissions == []


def _starttls(server: RunningServer) -> Wire:
    wire = server.greeted()
    assert wire.command("STARTTLS").startswith("220")
    wire.wrap()
    wire.ehlo()
    assert wire.command("AUTH PLAIN " + plain(USER, PASSWORD)).startswith("235")
    return wire


def test_one_endless_line_of_content_is_taken_up_to_the_limit(make_server: MakeServer) -> None:
    server, gateway = make_server(max_message_mb=1)
    with server.logged_in(USER, PASSWORD) as wire:
        wire.begin()
        wire.send(b"x" * 900_000 + b"\r\n.\r\n")
        assert wire.reply().startswith("250")
    assert len(gateway.submissions[0].source) == 900_002


def test_messages_share_a_budget_of_memory(make_server: MakeServer) -> None:
    server, gateway = make_server({"buffered": 1}, max_message_mb=1)  # at least four messages, whatever is asked for
    stored: list[tuple[Submission, Future]] = []
    held = threading.Semaphore(0)

    def hold(submission: Submission) -> Future:
        future: Future = Future()
        stored.append((submission, future))
        held.release()
        return future

    gateway.on_submit = hold
    big = b"x" * (MEGABYTE - 2) + b"\r\n.\r\n"
    wires = [server.logged_in(USER, PASSWORD) for _ in range(4)]
    for wire in wires[:3]:
        wire.begin()
        wire.send(big)
        assert held.acquire(timeout=PATIENCE)
    wires[3].begin()
    wires[3].send(big + b"NOOP\r\n")
    reply = wires[3].reply()
    # Three messages and their endings leave less than a fourth needs.
    assert reply.startswith("451 4.3.0"), reply
    assert wires[3].reply().startswith("250")
    gateway.on_submit = lambda submission: None
    for wire, (submission, future) in zip(wires, stored, strict=False):
        future.set_result(receipt(submission, "held"))
        assert wire.reply().startswith("250")
    wires[3].begin()
    wires[3].send(big)
    assert wires[3].reply().startswith("250")
    assert server.environment.budget.used == 0
    for wire in wires:
        wire.socket.close()


def test_large_messages_are_judged_off_the_event_loop(
    server: RunningServer, gateway: MemoryGateway, wire: Wire
) -> None:
    threads: list[str] = []
    gateway.on_submit = lambda submission: threads.append(threading.current_thread().name)
    wire.begin()
    wire.send(b"x" * 400_000 + b"\r\n.\r\n")
    assert wire.reply().startswith("250")
    assert threads[0].startswith("smtp")
