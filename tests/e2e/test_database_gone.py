"""The database is locked or gone: every door says so in its own language, and all work again by themselves."""

from __future__ import annotations

import smtplib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.stack import Stack

USER, PASSWORD, TO = "printer@example.com", "Tr0mbone-Sky!", "ann@example.org"
MESSAGE = f"From: {USER}\r\nSubject: Hello\r\n\r\nHello.\r\n"


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    return stack.prepare(USER, PASSWORD)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else writes, and doesn't stop."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextmanager
def gone(path: Path) -> Iterator[None]:
    """The file is away, as on a disk that was unmounted."""
    aside = path.with_suffix(".aside")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


def send_by_http(stack: Stack, key: str) -> tuple[int, dict]:
    body = {"from": USER, "to": TO, "subject": "Hello", "text": "Hello."}
    return stack.post("/v1/send", body, Authorization=f"Bearer {key}")


@pytest.mark.parametrize("trouble", [locked, gone])
def test_both_doors_ask_to_try_again_and_recover(stack: Stack, key: str, trouble) -> None:
    database = stack.data_dir / "postlatch.db"
    with stack.smtp(USER, PASSWORD) as client:
        client.sendmail(USER, [TO], MESSAGE)
        with trouble(database):
            with pytest.raises(smtplib.SMTPException) as caught:
                client.sendmail(USER, [TO], MESSAGE)
            assert _reply(caught.value).startswith("451 4.3.0 ")
            status, answer = send_by_http(stack, key)
            assert (status, answer["error"]["code"]) == (503, "storage")
            assert "[ref " in answer["error"]["message"]
        client.sendmail(USER, [TO], MESSAGE)
    assert send_by_http(stack, key)[0] == 202
    _wait_until_ready(stack)


def test_a_503_says_when_to_try_again(stack: Stack, key: str) -> None:
    import http.client

    with gone(stack.data_dir / "postlatch.db"):
        connection = http.client.HTTPConnection("127.0.0.1", stack.http_port, timeout=30)
        connection.request("GET", "/v1/me", headers={"X-API-Key": key})
        answer = connection.getresponse()
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert stack.get("/readyz")[0] == 503
        assert stack.get("/healthz")[0] == 200
        assert stack.get("/login")[0] in {200, 503}
    _wait_until_ready(stack)


def _wait_until_ready(stack: Stack) -> None:
    deadline = time.monotonic() + 20
    while not stack.is_ready():
        assert time.monotonic() < deadline
        time.sleep(0.2)  # ends as soon as it is


def _reply(error: smtplib.SMTPException) -> str:
    if isinstance(error, smtplib.SMTPSenderRefused | smtplib.SMTPDataError):
        return f"{error.smtp_code} {error.smtp_error.decode()}"
    return repr(error)
