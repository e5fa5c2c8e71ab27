"""Methods, paths and statuses: each refusal has the headers of its status, and none has another's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

import pytest

from tests.support.factories import make_api_key
from webapp.core.rules.refusals import Reason, Refused

from .conftest import Caller, refused


def test_each_status_has_its_headers_and_its_refusal_is_noted(
    make_caller: Callable[..., Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = make_caller(max_message_mb=1)

    def ask(key: str | None) -> Caller:
        return Caller(caller.app, key)

    _, elsewhere = make_api_key(caller.gateway, allowed="198.51.100.1")
    caller.send(idempotency_key="used")
    answers = {
        400: caller.post("{", "application/json"),
        401: ask(None).get("/me"),
        403: ask(elsewhere).get("/me"),
        404: caller.get("/messages/none"),
        405: caller.open("/send", method="DELETE"),
        409: caller.send(idempotency_key="used", subject="Another"),
        413: caller.send(text="x" * 1_500_000),
        415: caller.post("to=x", "text/plain"),
        422: caller.send(to="nobody"),
    }
    outcomes: dict[int, Exception] = {
        429: Refused(Reason.QUOTA, retry_after=7, limit="5 messages", period="an hour", whose="this key", wait="7 s"),
        500: RuntimeError("the secret ingredient"),
        503: Refused(Reason.STORAGE),
    }
    for status, outcome in outcomes.items():
        future: Future[None] = Future()
        future.set_exception(outcome)
        monkeypatch.setattr(caller.gateway, "submit", lambda _, future=future: future)
        answers[status] = caller.send()

    for status, answer in answers.items():
        noted = caller.refusal(answer)
        refused(answer, status, noted.code, answer.json["error"]["field"])
        assert (noted.door, noted.ip) == ("http", "192.0.2.10")
        assert answer.json["error"]["message"].startswith(noted.text[:200])
        assert ("WWW-Authenticate" in answer.headers) is (status == 401)
        assert ("Retry-After" in answer.headers) is (status in {429, 503})
        assert ("Allow" in answer.headers) is (status == 405)
        assert b"ingredient" not in answer.data
    assert answers[429].headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/send", {"POST", "OPTIONS"}),
        ("PATCH", "/send", {"POST", "OPTIONS"}),
        ("BREW", "/me", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/messages/x", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/messages/x/source", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_allow_has_all_the_methods_that_work(caller: Caller, method: str, path: str, allowed: set[str]) -> None:
    answer = caller.open(path, method=method)
    refused(answer, 405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_head_and_options_have_headers_only(caller: Caller) -> None:
    for path in ("/me", "/domains", "/messages"):
        head = caller.open(path, method="HEAD")
        assert (head.status_code, head.data) == (200, b"")
        assert head.content_length == len(caller.get(path).data)
    assert caller.open("/send", method="HEAD").status_code == 405

    options = caller.open("/send", method="OPTIONS")
    assert (options.status_code, options.data) == (200, b"")
    assert "POST" in options.headers["Allow"]
    for method in ("HEAD", "OPTIONS"):
        assert Caller(caller.app, None).open("/me", method=method).status_code == 401


def test_the_client_names_no_request(caller: Caller) -> None:
    """References are the server's own: a client could send another's."""
    for answer in (
        caller.get("/me", headers={"X-Request-Id": "ABCDEFGHJK"}),
        caller.get("/nothing", headers={"X-Request-Id": "ABCDEFGHJK"}),
    ):
        assert answer.headers["X-Request-Id"] != "ABCDEFGHJK"


def test_odd_headers_harm_nobody(caller: Caller) -> None:
    odd = "é\xff" * 2000
    for name in ("User-Agent", "X-Forwarded-For", "Idempotency-Key", "Content-Encoding", "Accept", "Host"):
        answer = caller.send(http={name: odd})
        assert answer.status_code in {202, 400, 415, 422}, name


def test_a_body_on_a_get_is_ignored(caller: Caller) -> None:
    assert caller.get("/me", data=b"\xff" * 100, content_type="application/json").status_code == 200
