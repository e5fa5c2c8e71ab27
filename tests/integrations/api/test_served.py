"""The API as it is served: Gunicorn's processes, real connections, the panel beside it."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import select

from tests.support.queue import until
from tests.support.stack import Stack
from webapp.core.models import Refusal

from .conftest import MAIL


class Client:
    """Real connections to a running server."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.key = stack.prepare()

    def connect(self) -> HTTPConnection:
        """A fresh connection."""
        return HTTPConnection("127.0.0.1", self.stack.http_port, timeout=30)

    def post(
        self, body: Any, *, key: str | None = "", connection: HTTPConnection | None = None, path: str = "/v1/send"
    ) -> tuple[HTTPResponse, Any]:
        """POST *body*, octets or an iterator of them, which goes out chunked; the answer and its JSON."""
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["X-API-Key"] = key or self.key
        connection = connection or self.connect()
        connection.request("POST", path, body=body, headers=headers, encode_chunked=not isinstance(body, bytes))
        answer = connection.getresponse()
        return answer, json.loads(answer.read())


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Stack(tmp_path_factory.mktemp("served"), max_message_mb="1") as stack:
        yield Client(stack)


def letter(**fields: Any) -> bytes:
    return json.dumps(MAIL | fields).encode()


def stored(client: Client, subject: str) -> int:
    connection = sqlite3.connect(client.stack.data_dir / "postlatch.db")
    try:
        return int(connection.execute("SELECT count(*) FROM messages WHERE subject = ?", (subject,)).fetchone()[0])
    finally:
        connection.close()


def test_ten_parallel_retries_over_two_processes_bring_one_message(client: Client) -> None:
    body = letter(subject="retried", idempotency_key="order-7")
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: client.post(body), range(10)))
    assert {answer.status for answer, _ in answers} == {202}
    assert len({json.dumps(said) for _, said in answers}) == 1
    assert stored(client, "retried") == 1


def test_a_chunked_body_is_taken(client: Client) -> None:
    body = letter(subject="chunked")
    answer, _ = client.post(iter([body[:10], body[10:]]))
    assert answer.status == 202
    assert stored(client, "chunked") == 1


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [1_100_000, 2_000_000, 4_000_000])
def test_a_body_that_is_too_large_is_told_so_while_it_still_comes(client: Client, size: int, chunked: bool) -> None:
    body = letter(subject="large", text="x" * size)
    blocks = iter([body[start : start + 65536] for start in range(0, len(body), 65536)])
    connection = client.connect()
    answer, said = client.post(blocks if chunked else body, connection=connection)
    assert (answer.status, said["error"]["code"]) == (413, "too_large")
    assert "1 MB" in said["error"]["message"]
    assert client.post(letter(subject="after"), connection=connection)[0].status == 202
    assert stored(client, "large") == 0


def test_who_sends_much_without_a_key_hears_why_it_was_refused(client: Client) -> None:
    for key in (None, "nonsense"):
        answer, said = client.post(letter(text="x" * 3_000_000), key=key)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.headers["X-Request-Id"] in said["error"]["message"]


def test_a_stranger_who_never_sends_the_body_holds_nothing_for_long(client: Client) -> None:
    connection = client.connect()
    started = time.monotonic()
    connection.putrequest("POST", "/v1/send")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "100000")
    connection.endheaders()
    assert connection.getresponse().status == 401
    assert time.monotonic() - started < 15


def test_a_connection_goes_on_after_a_refusal(client: Client) -> None:
    connection = client.connect()
    for body, status in ((b"{", 400), (letter(to="nobody"), 422), (letter(), 202), (b"", 400), (letter(), 202)):
        assert client.post(body, connection=connection)[0].status == status


def test_no_line_break_of_a_client_reaches_a_header(client: Client) -> None:
    for fields in (
        {"subject": "split\r\nBcc: evil@example.org"},
        {"headers": {"X-A": "b\nBcc: evil@example.org"}},
        {"headers": {"X-A\r\nBcc": "evil@example.org"}},
        {"from": "shop@example.com\r\nBcc: evil@example.org"},
        {"to": [{"email": "a@example.org", "name": "A\r\nBcc: evil@example.org"}]},
    ):
        answer, said = client.post(letter(**fields))
        assert answer.status == 422
        assert said["error"]["field"] in fields


def test_the_panels_rules_for_forms_and_sessions_are_not_the_apis(client: Client) -> None:
    assert client.post(letter())[0].status == 202  # no CSRF token
    answer, said = client.post(letter(), path="/v1/nothing")
    assert (answer.status, said["error"]["code"]) == (404, "not_found")
    connection = client.connect()
    connection.request("GET", "/v1/send")
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]["code"]) == (405, "method_not_allowed")
    assert "Set-Cookie" not in answer.headers


def test_the_log_explains_a_reference(client: Client) -> None:
    answer, said = client.post(letter(to="nobody"))
    mine = select(Refusal.at).where(Refusal.reference == answer.headers["X-Request-Id"])

    def written() -> bool:  # behind the door's back, within a second
        with client.stack.services() as gateway, gateway.database.session() as session:
            return session.scalar(mine) is not None

    until(written)
    told = client.stack.flask("why", said["error"]["message"])
    assert "invalid_field" in json.dumps(told)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /v1/me HTTP/1.1\r\nAuthorization: Bearer pl_secret_\x00\r\n\r\n", 400),
        (b"GET /v1/me\r\nX Y: z\r\n\r\n", 400),
        (b"GET /v1/me HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /v1/me HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n", 431),
        (b"POST /v1/send HTTP/1.1\r\nTransfer-Encoding: zip\r\n\r\n", 501),
    ],
)
def test_what_is_no_http_is_refused_as_all_else_is(client: Client, head: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", client.stack.http_port), timeout=30) as connection:
        connection.sendall(head)
        answer = HTTPResponse(connection)
        answer.begin()
        said = answer.read().decode()
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
    error = json.loads(said)["error"]
    assert (error["code"], error["field"]) == ("bad_request", None)
    assert f"[ref {answer.headers['X-Request-Id']}]" in error["message"]
    assert "secret" not in said + "".join(client.stack.printed)


def by_hand(client: Client, head: str, body: bytes = b"", content_type: str = "application/json") -> tuple[int, Any]:
    """Write a request as it stands, and end the sending side: the status and the answer's JSON."""
    with socket.create_connection(("127.0.0.1", client.stack.http_port), timeout=30) as connection:
        usual = f"Host: localhost\r\nX-API-Key: {client.key}\r\nContent-Type: {content_type}\r\n\r\n"
        connection.sendall(f"POST /v1/send HTTP/1.1\r\n{head}{usual}".encode() + body)
        connection.shutdown(socket.SHUT_WR)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status, json.loads(answer.read())


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_body_that_breaks_off_is_no_message(client: Client, content_type: str) -> None:
    """What came may read as a whole message, one that ends too early."""
    body = letter(subject="cut") if "json" in content_type else urlencode(MAIL | {"subject": "cut"}).encode()
    length, chunked = f"Content-Length: {len(body) + 10}\r\n", "Transfer-Encoding: chunked\r\n"
    for head, sent in (
        (length, body),
        (length, b""),
        (chunked, b"%x\r\n%s\r\n" % (len(body), body)),
        (chunked, b"%x\r\n%s" % (len(body) + 10, body)),
        (chunked, b"nonsense\r\n%s\r\n0\r\n\r\n" % body),
    ):
        status, said = by_hand(client, head, sent, content_type)
        assert (status, said["error"]["code"]) == (400, "bad_request"), (head, sent)
        assert "broke off" in said["error"]["message"]
    assert stored(client, "cut") == 0


def test_who_waits_to_be_told_to_go_on_is_told(client: Client) -> None:
    """RFC 9110 section 10.1.1: curl asks so before it sends a megabyte."""
    body = letter()
    with socket.create_connection(("127.0.0.1", client.stack.http_port), timeout=30) as connection:
        head = (
            f"POST /v1/send HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {client.key}\r\nExpect: 100-continue\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        with connection.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 202 ")
