"""A 250 or a 202 is a promise: every process is killed while clients send, and nothing that was promised is lost."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.smtp_sink import SmtpSink
from tests.support.stack import Stack

SENDER, PASSWORD = "shop@example.com", "Tr0mbone-Sky!"
ENOUGH = 120  # promises before the kill


class Clients:
    """Two that speak SMTP and two that speak HTTP, each sending one message after another until cut off."""

    def __init__(self, stack: Stack, key: str) -> None:
        self.stack = stack
        self.key = key
        self.promised: list[str] = []
        self.enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(send, number))
            for number, send in enumerate((self._by_smtp, self._by_smtp, self._by_http, self._by_http))
        ]

    @contextmanager
    def sending(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        yield
        for thread in self._threads:
            thread.join(timeout=60)

    def _run(self, send, number: int) -> None:
        try:
            send(number)
        except OSError:  # the server was killed; smtplib's errors are OSErrors too
            return

    def _promise(self, subject: str) -> None:
        self.promised.append(subject)
        if len(self.promised) >= ENOUGH:
            self.enough.set()

    def _by_smtp(self, number: int) -> None:
        with self.stack.smtp(SENDER, PASSWORD, implicit_tls=bool(number % 2)) as client:
            for count in range(100_000):
                subject = f"smtp-{number}-{count}"
                client.sendmail(SENDER, ["ann@example.org"], f"From: {SENDER}\r\nSubject: {subject}\r\n\r\nHello.\r\n")
                self._promise(subject)

    def _by_http(self, number: int) -> None:
        for count in range(100_000):
            subject = f"http-{number}-{count}"
            status, _ = self.stack.post(
                "/v1/send",
                {"from": SENDER, "to": "ann@example.org", "subject": subject, "text": "Hello."},
                Authorization=f"Bearer {self.key}",
            )
            if status == 202:
                self._promise(subject)


def kill_while_sending(stack: Stack) -> list[str]:
    """Kill everything in the middle of the sending; return the subjects that were promised."""
    clients = Clients(stack, stack.prepare(SENDER, PASSWORD))
    with clients.sending():
        assert clients.enough.wait(60), f"only {len(clients.promised)} messages in a minute"
        stack.kill()
    return clients.promised


def stored(data_dir: Path) -> Counter[str]:
    """How often each subject is in the database."""
    connection = sqlite3.connect(data_dir / "postlatch.db")
    try:
        return Counter(subject for (subject,) in connection.execute("SELECT subject FROM messages"))
    finally:
        connection.close()


def statuses(data_dir: Path) -> Counter[str]:
    """How many deliveries are in each state."""
    connection = sqlite3.connect(data_dir / "postlatch.db")
    try:
        return Counter(dict(connection.execute("SELECT status, count(*) FROM deliveries GROUP BY status")))
    finally:
        connection.close()


def wait_until_all_are(status: str, data_dir: Path, *, seconds: float) -> None:
    """Return once every delivery has *status*."""
    deadline = time.monotonic() + seconds
    while set(found := statuses(data_dir)) != {status}:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)  # ends as soon as it is so


def test_what_was_promised_is_there_exactly_once_in_capture(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    stack.start()
    promised = kill_while_sending(stack)
    with stack:
        wait_until_all_are("captured", tmp_path, seconds=60)

    found = stored(tmp_path)
    assert {subject: found[subject] for subject in promised if found[subject] != 1} == {}
    # At most the one message that each client was waiting for is there without a promise.
    assert len(found) - len(promised) <= 4


def test_what_was_promised_arrives_through_a_relay(tmp_path: Path) -> None:
    with SmtpSink() as sink:
        stack = Stack(tmp_path, delivery="relay", relay_url=f"smtp://127.0.0.1:{sink.port}", retry_first="1s")
        stack.start()
        promised = kill_while_sending(stack)
        in_flight = statuses(tmp_path)["delivering"]
        with stack:
            wait_until_all_are("delivered", tmp_path, seconds=90)

        arrived = Counter(_subject(message.content) for message in sink.messages)
    assert [subject for subject in promised if subject not in arrived] == []
    twice = [subject for subject, times in arrived.items() if times > 1]
    assert len(twice) <= in_flight
    assert all(times <= 2 for times in arrived.values())


def _subject(content: bytes) -> str:
    return content.partition(b"\nSubject: ")[2].partition(b"\r")[0].decode()
