"""The API as clients meet it: behind Gunicorn's two processes, over real sockets."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.stack import Stack

from .conftest import MAIL

MEGABYTE = 1024 * 1024


class Client:
    """A client with a key, for one running server."""

    def __init__(self, stack: Stack) -> None:
        self.port = stack.http_port
        stack.flask("domain", "add", "example.com")
        self.key: str = stack.flask("api-key", "add", "--domain", "example.com")["key"]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def headers(self, **more: str) -> dict[str, str]:
        return {"X-API-Key": self.key, "Content-Type": "application/json", **more}

    def send(self, connection: http.client.HTTPConnection, body: Any, **headers: str) -> tuple[int, bytes]:
        """POST *body* to /v1/send: the status and the answer's octets."""
        connection.request("POST", "/v1/send", body, self.headers(**headers))
        answer = connection.getresponse()
        return answer.status, answer.read()

    def raw(self, head: bytes, body: bytes = b"", content_type: str = "application/json") -> tuple[int, Any]:
        """Write a request by hand, then end the sending side: the status and the answer's JSON."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            key = f"Host: localhost\r\nX-API-Key: {self.key}\r\nContent-Type: {content_type}\r\n".encode()
            connection.sendall(head + key + b"\r\n" + body)
            connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status, json.loads(answer.read())


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Stack(tmp_path_factory.mktemp("api"), max_message_mb="4") as stack:
        yield Client(stack)


def letter(**changes: Any) -> bytes:
    return json.dumps(MAIL | changes).encode()


def test_one_connection_carries_many_requests(client: Client) -> None:
    connection = client.connect()
    statuses = [client.send(connection, body)[0] for body in (letter(), b"{", letter(to="nobody"), letter())]

    assert statuses == [202, 400, 422, 202]


def test_ten_parallel_retries_through_two_processes_answer_the_same_octets(client: Client) -> None:
    def retry(_: int) -> tuple[int, bytes]:
        return client.send(client.connect(), letter(), **{"Idempotency-Key": "order-1"})

    with ThreadPoolExecutor(10) as pool:
        answers = set(pool.map(retry, range(10)))

    assert len(answers) == 1
    status, receipt = answers.pop()
    assert status == 202
    connection = client.connect()
    connection.request("GET", "/v1/messages?limit=100", headers=client.headers())
    ids = [message["id"] for message in json.load(connection.getresponse())["data"]]
    assert ids.count(json.loads(receipt)["id"]) == 1


def test_a_chunked_body_is_taken(client: Client) -> None:
    body = letter(text="x" * 100_000)
    blocks = (body[start : start + 5000] for start in range(0, len(body), 5000))

    assert client.send(client.connect(), blocks)[0] == 202


@pytest.mark.parametrize("chunked", [False, True])
def test_the_answer_to_a_body_over_the_limit_arrives(client: Client, chunked: bool) -> None:
    body = letter(text="x" * (7 * MEGABYTE + 500_000))
    given = (body[start : start + MEGABYTE] for start in range(0, len(body), MEGABYTE)) if chunked else body

    status, answer = client.send(client.connect(), given)

    assert status == 413
    assert "4 MB" in json.loads(answer)["error"]["message"]


def test_the_answer_to_a_wrong_key_arrives_while_the_body_is_still_coming(client: Client) -> None:
    status, answer = client.send(client.connect(), letter(text="x" * 6 * MEGABYTE), **{"X-API-Key": "wrong"})

    assert status == 401
    assert json.loads(answer)["error"]["code"] == "key_invalid"


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_body_that_breaks_off_is_no_message(client: Client, content_type: str) -> None:
    """What came may read as a whole message, one that ends too early."""
    body = letter() if "json" in content_type else urlencode(MAIL).encode()
    length = b"POST /v1/send HTTP/1.1\r\nContent-Length: %d\r\n" % (len(body) + 10)
    chunks = b"POST /v1/send HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    for head, sent in (
        (length, body),
        (length, b""),
        (chunks, b"%x\r\n%s\r\n" % (len(body), body)),
        (chunks, b"%x\r\n%s" % (len(body) + 10, body)),
        (chunks, b"nonsense\r\n%s\r\n0\r\n\r\n" % body),
    ):
        status, answer = client.raw(head, sent, content_type)

        assert (status, answer["error"]["code"]) == (400, "bad_request"), (head, sent)
        assert "[ref " in answer["error"]["message"]


def test_no_body_at_all_is_said_so(client: Client) -> None:
    for head in (b"POST /v1/send HTTP/1.1\r\nContent-Length: 0\r\n", b"POST /v1/send HTTP/1.0\r\n"):
        status, answer = client.raw(head)
        assert status == 400
        assert "empty" in answer["error"]["message"]


def test_who_waits_to_be_told_to_go_on_is_told(client: Client) -> None:
    """RFC 9110 section 10.1.1: curl asks so before it sends more than a megabyte."""
    body = letter()
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
        head = (
            f"POST /v1/send HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {client.key}\r\nExpect: 100-continue\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        with connection.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 202 ")
