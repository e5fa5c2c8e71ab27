"""Every error below /v1 has one shape, a reference and the right headers."""

from __future__ import annotations

import logging

import pytest

from webapp.core.models import Refusal

from .conftest import Caller, refused


@pytest.mark.parametrize("path", ["", "/", "/nothing", "/me/", "/hooks/", "/messages/x/y", "//me"])
def test_unknown_paths_are_404_as_json(caller: Caller, path: str) -> None:
    refused(caller.get(path), 404, "not_found")


def test_other_pages_are_none_of_its_business(caller: Caller) -> None:
    answer = caller.app.test_client().get("/v10/me")
    assert answer.status_code == 404
    assert answer.mimetype == "text/html"


@pytest.mark.parametrize(("method", "path"), [("POST", "/me"), ("GET", "/send"), ("DELETE", "/messages/x")])
def test_a_wrong_method_is_405_and_names_the_right_ones(caller: Caller, method: str, path: str) -> None:
    answer = caller.open(path, method=method)
    allowed = {"/send": "POST"}.get(path, "GET")
    assert f"takes {allowed} only" in refused(answer, 405, "method_not_allowed")
    assert allowed in answer.headers["Allow"].split(", ")


def test_each_refusal_is_noted_under_its_reference_with_the_key(caller: Caller) -> None:
    answer = caller.send(subject="a\r\nBcc: x@example.org")
    noted: Refusal = caller.refusal(answer)
    assert noted.code == "invalid_field"
    assert noted.credential_id is not None
    assert noted.name == str(caller.key).split("_")[1]


def test_a_failure_of_ours_is_500_without_internals(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("the secret ingredient")

    monkeypatch.setattr(caller.gateway, "submit", broken)
    with caplog.at_level(logging.ERROR):
        answer = caller.send()
    sentence = refused(answer, 500, "internal")
    assert "ingredient" not in sentence
    assert "Traceback" not in answer.get_data(as_text=True)
    assert caller.refusal(answer).cause == "ZeroDivisionError"
    assert str(caller.key) not in capsys.readouterr().out + caplog.text


def test_successes_carry_a_request_id_too(caller: Caller) -> None:
    ids = {caller.get("/me").headers["X-Request-Id"] for _ in range(3)}
    assert len(ids) == 3
    assert caller.send().headers["X-Request-Id"] not in ids


def test_answers_are_never_stored_or_sniffed(caller: Caller) -> None:
    for answer in (caller.get("/me"), caller.send(), caller.send(to=None)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
