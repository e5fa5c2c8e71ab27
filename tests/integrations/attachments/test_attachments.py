"""Attachments by web address, from acceptance to the message that leaves, with real servers on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from integrations.attachments import attachments_job
from tests.integrations.api.conftest import MAIL, Caller, make_caller, parsed, refused
from tests.support.queue import delivering, running, until
from webapp.core.models import UnfinishedMessage, utcnow
from webapp.core.rules.compose import AttachedFile
from webapp.core.services import deliveries_control
from webapp.core.services import unfinished as unfinished_messages
from webapp.core.services.outcomes import RetryPolicy

from .fileserver import FILE, FileServer, serving

__all__ = ["make_caller"]


@pytest.fixture
def files() -> Iterator[FileServer]:
    with serving() as server:
        yield server


@pytest.fixture
def caller(make_caller: Callable[..., Caller]) -> Caller:
    """A caller of a server that may fetch from loopback, and tries again at once."""
    return make_caller(allow_private_webhooks=True, retry_first=timedelta(milliseconds=100), max_message_mb=1)


def send(caller: Caller, attachments: Any, **fields: Any) -> str:
    answer = caller.send(attachments=attachments, **fields)
    assert answer.status_code == 202, answer.get_data(as_text=True)
    return str(answer.json["id"])


def recipient(caller: Caller, message_id: str) -> Any:
    return caller.get(f"/messages/{message_id}").json["recipients"][0]


def attached(caller: Caller, message_id: str) -> list[tuple[str | None, str, bytes]]:
    source = caller.get(f"/messages/{message_id}/source")
    assert source.status_code == 200, source.get_data(as_text=True)
    return [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in parsed(source.data).iter_attachments()
    ]


def unfinished(caller: Caller) -> int:
    with caller.gateway.database.session() as session:
        return session.query(UnfinishedMessage).count()


def test_a_message_waits_for_its_file_and_then_leaves(caller: Caller, files: FileServer) -> None:
    answer = caller.send(attachments=f"{files.url}/report.pdf", text="See the report.")
    assert answer.json["status"] == "queued"
    message_id = answer.json["id"]
    with delivering(caller.gateway):
        later = caller.send().json["id"]
        until(lambda: recipient(caller, later)["status"] == "captured")  # the lane has come by
        assert recipient(caller, message_id)["status"] == "queued"
        assert "try again" in refused(caller.get(f"/messages/{message_id}/source"), 409, "not_ready")
        with running(attachments_job(caller.gateway)):
            until(lambda: recipient(caller, message_id)["status"] == "captured")
    assert attached(caller, message_id) == [("report.pdf", "application/pdf", FILE)]
    message = parsed(caller.get(f"/messages/{message_id}/source").data)
    assert "See the report." in message.get_body().get_content()
    assert message["Received"]
    assert unfinished(caller) == 0


def test_names_and_types_and_order(caller: Caller, files: FileServer) -> None:
    given = [
        {"url": f"{files.url}/a%20b.pdf?signature=secret"},
        {"filename": "in the middle.txt", "content": "eA=="},
        {"url": f"{files.url}/named"},
        {"url": f"{files.url}/named", "filename": "mine.pdf", "content_type": "application/x-mine"},
        f"{files.url}/evil",
        f"{files.url}/moved",
        f"{files.url}/",
    ]
    message_id = send(caller, given, html="<p>Hello</p>")
    with running(attachments_job(caller.gateway)):
        until(lambda: unfinished(caller) == 0)
    assert [(name, kind) for name, kind, _ in attached(caller, message_id)] == [
        ("a b.pdf", "application/pdf"),
        ("in the middle.txt", "text/plain"),
        ("Größe.pdf", "application/pdf"),
        ("mine.pdf", "application/x-mine"),
        ("passwd", "application/octet-stream"),
        ("report.pdf", "application/pdf"),
        ("attachment", "application/octet-stream"),
    ]


def test_how_addresses_may_be_given(caller: Caller, files: FileServer) -> None:
    one, two = f"{files.url}/a.pdf?x=1,2", f"{files.url}/b.pdf"
    shapes: list[tuple[Any, int]] = [
        ([one, two], 2),
        (f"{one}, {two}", 2),
        (f"{one}\n{two};", 2),
        (json.dumps([one, {"url": two, "filename": ""}]), 2),
        ({"url": one, "filename": None}, 1),
    ]
    for given, count in shapes:
        message_id = send(caller, given)
        with caller.gateway.database.session() as session:
            assert len(session.get_one(UnfinishedMessage, message_id).links) == count, given
    forms: list[list[tuple[str, str]]] = [
        [("attachments", one), ("attachments", two)],
        [("attachments[]", one), ("attachments[]", two)],
        [("attachments", f"{one},{two}")],
        [("attachments__0__url", one), ("attachments__1__url", two), ("attachments__1__filename", "b.pdf")],
    ]
    for pairs in forms:
        answer = caller.post(httpx.QueryParams([*MAIL.items(), *pairs]).__str__(), "application/x-www-form-urlencoded")
        assert answer.status_code == 202, answer.get_data(as_text=True)
        with caller.gateway.database.session() as session:
            assert len(session.get_one(UnfinishedMessage, answer.json["id"]).links) == 2, pairs


def test_what_is_no_web_address_to_fetch_from(make_caller: Callable[..., Caller]) -> None:
    caller = make_caller()
    for given in (
        "http://example.org/a.pdf",
        "ftp://example.org/a.pdf",
        "https://127.0.0.1/a.pdf",
        "https://[::1]/a.pdf",
        "https://localhost/a.pdf",
        "https://10.0.0.7/a.pdf",
        "https://169.254.169.254/latest/meta-data",
        "https://user:secret@example.org/a.pdf",
        "https:///a.pdf",
        {"url": ""},
        {"url": 17},
        {"url": "https://example.org/a.pdf", "name": "a.pdf"},
        ["https://example.org/a.pdf"] * 21,
    ):
        sentence = refused(caller.send(attachments=given), 422, "invalid_field", "attachments")
        assert "secret" not in sentence


def test_a_repeat_under_the_same_key_brings_one_message(caller: Caller, files: FileServer) -> None:
    first = send(caller, f"{files.url}/a.pdf", idempotency_key="order-7")
    assert send(caller, f"{files.url}/a.pdf", idempotency_key="order-7") == first
    other = caller.send(attachments=f"{files.url}/b.pdf", idempotency_key="order-7")
    refused(other, 409, "idempotency_reused", "idempotency_key")


#: What is at the address, what the reason says, and how often it is tried.
FAILURES = [
    ("status-404", "localhost answered 404", 1),
    ("status-500", "localhost answered 500", 3),
    ("circle", "from one address to the next", 1),
    ("large", "too large", 1),
    ("endless", "too large", 1),
    ("breaks", "broke off", 3),
]


def test_a_file_that_can_t_be_had_ends_the_message_with_a_reason(
    caller: Caller, files: FileServer, subtests: pytest.Subtests
) -> None:
    sent = {name: send(caller, [f"{files.url}/{name}", f"{files.url}/a.pdf"]) for name, _, _ in FAILURES}
    with running(attachments_job(caller.gateway)):
        until(lambda: unfinished(caller) == 0)
    for name, said, tries in FAILURES:
        with subtests.test(name=name):
            found = recipient(caller, sent[name])
            assert (found["status"], found["attempts"], found["next_try_at"]) == ("failed", 0, None)
            assert said in found["reason"]
            assert found["reason"].endswith(".")
            assert files.asked.count(f"/{name}") == (tries if name != "circle" else 6)
            assert caller.get(f"/messages/{sent[name]}").json["status"] == "failed"
            assert caller.get(f"/messages/{sent[name]}/source").status_code == 404


def test_no_connection_and_no_such_host(caller: Caller) -> None:
    with serving() as gone:
        url = gone.url
    refused_at, nowhere = send(caller, f"{url}/a.pdf"), send(caller, "http://nothing.localhost:1/a.pdf?token=secret")
    with running(attachments_job(caller.gateway)):
        until(lambda: unfinished(caller) == 0)
    assert "no connection" in recipient(caller, refused_at)["reason"]
    assert "secret" not in recipient(caller, nowhere)["reason"]


def test_what_passes_is_tried_again(caller: Caller, files: FileServer) -> None:
    message_id = send(caller, f"{files.url}/flaky.pdf")
    with running(attachments_job(caller.gateway)), delivering(caller.gateway):
        until(lambda: recipient(caller, message_id)["status"] == "captured")
    assert attached(caller, message_id) == [("flaky.pdf", "application/pdf", FILE)]


def test_files_that_are_too_large_together(caller: Caller, files: FileServer) -> None:
    content = "eHh4" * 250_000
    message_id = send(
        caller, [{"filename": "a.bin", "content": content[:900_000]}, f"{files.url}/a", f"{files.url}/large"]
    )
    with running(attachments_job(caller.gateway)):
        until(lambda: unfinished(caller) == 0)
    assert "too large" in recipient(caller, message_id)["reason"]


def test_scheduled_mail_has_its_files_at_once_and_leaves_at_its_time(caller: Caller, files: FileServer) -> None:
    when = utcnow() + timedelta(hours=3)
    message_id = send(caller, f"{files.url}/a.pdf", send_at=when.isoformat())
    assert recipient(caller, message_id)["status"] == "scheduled"
    with running(attachments_job(caller.gateway)):
        until(lambda: unfinished(caller) == 0)
    found = recipient(caller, message_id)
    assert found["status"] == "scheduled"
    assert found["next_try_at"].startswith(when.isoformat()[:19])
    assert attached(caller, message_id)[0][2] == FILE


def test_cancelled_mail_asks_nobody(caller: Caller, files: FileServer) -> None:
    message_id = send(caller, f"{files.url}/a.pdf")
    with caller.gateway.database.session() as session:
        assert deliveries_control.cancel(session, [message_id], utcnow()) == 1
    with running(attachments_job(caller.gateway)):
        until(lambda: unfinished(caller) == 0)
    assert files.asked == []
    assert recipient(caller, message_id)["status"] == "cancelled"


def test_a_worker_that_stops_gives_its_work_back(caller: Caller, files: FileServer) -> None:
    message_id = send(caller, f"{files.url}/hangs")
    with running(attachments_job(caller.gateway)):
        until(lambda: files.asked)
    with caller.gateway.database.session() as session:
        row = session.get_one(UnfinishedMessage, message_id)
        assert row.tries == 0
        assert row.due_at <= utcnow()
    files.release.set()
    with running(attachments_job(caller.gateway)):
        until(lambda: unfinished(caller) == 0)
    assert attached(caller, message_id)[0][2] == FILE


def test_a_worker_that_is_killed_loses_its_claim_and_can_t_undo_what_the_next_one_did(
    caller: Caller, files: FileServer
) -> None:
    message_id = send(caller, f"{files.url}/a.pdf")
    now = utcnow()
    with caller.gateway.database.session() as session:
        (killed,) = unfinished_messages.claim(session, now=now, limit=5)
    with caller.gateway.database.session() as session:
        assert unfinished_messages.claim(session, now=now + unfinished_messages.LEASE / 2, limit=5) == []
        unfinished_messages.renew(session, [killed], now=now + unfinished_messages.LEASE / 2)
        assert unfinished_messages.claim(session, now=now + unfinished_messages.LEASE, limit=5) == []
        (successor,) = unfinished_messages.claim(session, now=now + 2 * unfinished_messages.LEASE, limit=5)
        assert (successor.message_id, successor.attempt) == (message_id, 2)
    files_had = [AttachedFile("a.pdf", FILE)]
    limit = caller.gateway.settings.max_message_bytes
    with caller.gateway.database.session() as session:
        policy = RetryPolicy(timedelta(seconds=1), timedelta(days=1))
        unfinished_messages.give_up(session, killed, "Too late.", policy=policy, now=now)
        assert unfinished_messages.complete(session, successor, files_had, limit=limit, now=now)
        assert unfinished_messages.complete(session, killed, files_had, limit=limit, now=now)
    assert recipient(caller, message_id)["status"] == "queued"
    assert len(attached(caller, message_id)) == 1
