"""Retries bring one message, however many come at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import BytesIO
from urllib.parse import urlencode

from sqlalchemy import func, select

from tests.support.factories import make_api_key
from webapp.core.models import IdempotencyKey, Message
from webapp.core.services.acceptance import IDEMPOTENCY_KEPT

from .conftest import MAIL, Caller, refused, without_database

FORM = "application/x-www-form-urlencoded"


def stored(caller: Caller) -> int:
    with caller.gateway.database.session() as session:
        return session.scalar(select(func.count()).select_from(Message)) or 0


def test_a_repeat_gets_the_very_same_answer(caller: Caller) -> None:
    first = caller.send(idempotency_key="order-7", to=["a@x.org", "b@x.org"], cc="c@x.org")
    with caller.gateway.database.session() as session:
        session.query(Message).one().status = "delivered"
    again = caller.send(idempotency_key="order-7", to=["a@x.org", "b@x.org"], cc="c@x.org")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.data == again.data
    assert stored(caller) == 1


def test_header_and_field_are_the_same_key(caller: Caller) -> None:
    first = caller.send(http={"Idempotency-Key": "k"})
    assert caller.send(idempotency_key="k").data == first.data
    assert caller.send(idempotency_key="k", http={"Idempotency-Key": " k "}).data == first.data
    for other in ("l", "K"):
        answer = caller.send(idempotency_key="k", http={"Idempotency-Key": other})
        assert "differ" in refused(answer, 422, "invalid_field", "idempotency_key")
    assert caller.send(http={"Idempotency-Key": ""}).json["id"] != first.json["id"]
    refused(caller.send(http={"Idempotency-Key": "x" * 257}), 422, "invalid_field", "idempotency_key")
    assert caller.send(http={"Idempotency-Key": "x" * 256}).status_code == 202


def test_the_same_request_written_differently_is_a_repeat(caller: Caller) -> None:
    soon = int((datetime.now(UTC) + timedelta(days=1)).timestamp())
    mail = MAIL | {"to": ["a@x.org", "B <b@x.org>"], "metadata": {"x": 1, "y": "2"}, "send_at": soon}
    first = caller.send(mail, http={"Idempotency-Key": "k"})
    assert first.status_code == 202
    form = mail | {"to": "a@x.org; B <b@x.org>", "metadata": '{"y": "2", "x": "1"}', "cc": ""}
    when = datetime.fromtimestamp(soon, UTC).isoformat()
    objects = [{"email": "a@x.org"}, {"email": "b@x.org", "name": "B"}]
    repeats = [
        caller.send(dict(reversed(mail.items())), http={"Idempotency-Key": "k"}),
        caller.send([mail | {"idempotency_key": "k"}]),
        caller.send(mail | {"send_at": when, "idempotency_key": "k", "to": objects}),
        caller.post(urlencode(form | {"idempotency_key": "k"}), FORM),
        caller.post(form | {"idempotency_key": "k"}, "multipart/form-data"),
    ]
    assert {answer.data for answer in repeats} == {first.data}
    assert stored(caller) == 1


def test_another_body_under_the_same_key_is_409(caller: Caller) -> None:
    files = [{"filename": "a.txt", "content": "eA=="}]
    assert caller.send(idempotency_key="k", attachments=files).status_code == 202
    for change in (
        {"subject": "Other"},
        {"to": "other@example.org"},
        {"bcc": "c@x.org"},
        {"text": "Hello"},
        {"tag": "t"},
        {"metadata": {"a": "b"}},
        {"headers": {"X-A": "b"}},
        {"send_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()},
        {"attachments": None},
        {"attachments": [{"filename": "b.txt", "content": "eA=="}]},
        {"attachments": [{"filename": "a.txt", "content": "eQ=="}]},
    ):
        answer = caller.send(**({"idempotency_key": "k", "attachments": files} | change))
        refused(answer, 409, "idempotency_reused", "idempotency_key")
    assert stored(caller) == 1


def test_files_in_parts_and_in_base64_are_the_same_request(caller: Caller) -> None:
    first = caller.send(idempotency_key="k", attachments=[{"filename": "a", "content": "eA==", "content_type": "x/y"}])
    assert first.status_code == 202
    part = caller.post(MAIL | {"idempotency_key": "k", "file": (BytesIO(b"x"), "a", "x/y")})
    assert part.data == first.data


def test_a_key_is_its_credentials_own_and_kept_for_a_day(caller: Caller) -> None:
    other = Caller(caller.app, make_api_key(caller.gateway)[1])
    first, theirs = caller.send(idempotency_key="k"), other.send(idempotency_key="k", subject="Other")
    assert theirs.status_code == 202
    assert first.json["id"] != theirs.json["id"]
    with caller.gateway.database.session() as session:
        for kept in session.query(IdempotencyKey):
            kept.created_at -= IDEMPOTENCY_KEPT
    assert caller.send(idempotency_key="k", subject="Next day").json["id"] != first.json["id"]


def test_a_refusal_is_not_kept(caller: Caller) -> None:
    refused(caller.send(idempotency_key="k", to="nobody"), 422, "invalid_field", "to")
    with without_database(caller.gateway):
        refused(caller.send(idempotency_key="k"), 503, "storage")
    assert caller.send(idempotency_key="k").status_code == 202
    assert stored(caller) == 1


def test_ten_parallel_retries_bring_one_message(caller: Caller) -> None:
    body = json.dumps(MAIL | {"idempotency_key": "k"})
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: caller.post(body, "application/json"), range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.data for answer in answers}) == 1
    assert stored(caller) == 1
