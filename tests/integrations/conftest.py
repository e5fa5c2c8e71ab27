"""The API in an app, and a program that calls it with a key."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from integrations.api import create_api
from tests.support.factories import make_api_key, make_domain
from webapp import gateway_of
from webapp.core.models import Message, MessageSource, Refusal
from webapp.core.services.gateway import Gateway

LETTER = {
    "from": "shop@example.com",
    "to": "ann@example.org",
    "subject": "Your order",
    "text": "It is on its way.",
}
_REFERENCE = re.compile(r" \[ref ([A-HJ-NP-Z2-9]{10})\]\Z")


class Api:
    """A program with an API key of example.com, on Flask's test client."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.gateway: Gateway = gateway_of(app)
        self.client: FlaskClient = app.test_client()
        self.domain_id = make_domain(self.gateway)
        self.key_id, self.key = make_api_key(self.gateway, note="Web shop")

    def call(self, method: str, path: str, **request: Any) -> TestResponse:
        """Call *path* with the key as a Bearer token, unless the keyword ``headers`` has another log-in."""
        headers = {"Authorization": f"Bearer {self.key}"} | dict(request.pop("headers", {}))
        return self.client.open(path, method=method, headers=headers, **request)

    def get(self, path: str, **request: Any) -> TestResponse:
        """GET with the key."""
        return self.call("GET", path, **request)

    def send(self, headers: dict[str, str] | None = None, **fields: Any) -> TestResponse:
        """Send the usual letter as JSON; *fields* change it, ``None`` leaves one out, ``sender`` is ``from``."""
        if "sender" in fields:
            fields["from"] = fields.pop("sender")
        body = {name: value for name, value in (LETTER | fields).items() if value is not None}
        return self.call("POST", "/v1/send", json=body, headers=headers or {})

    def send_raw(self, data: bytes | str, content_type: str | None = "application/json") -> TestResponse:
        """Send *data* as it is."""
        return self.call("POST", "/v1/send", data=data, content_type=content_type)

    def source(self, sent: TestResponse) -> bytes:
        """The stored source of what `send` answered."""
        assert sent.status_code == 202, sent.get_data(as_text=True)
        with self.gateway.database.session() as session:
            return session.get_one(MessageSource, sent.json["id"]).source

    def recipients(self, sent: TestResponse) -> list[str]:
        """The envelope's recipients of what `send` answered."""
        assert sent.status_code == 202, sent.get_data(as_text=True)
        with self.gateway.database.session() as session:
            return [delivery.recipient for delivery in session.get_one(Message, sent.json["id"]).deliveries]

    def count(self) -> int:
        """How many messages are stored."""
        with self.gateway.database.session() as session:
            return session.scalar(select(func.count()).select_from(Message)) or 0

    def refusal(self, answer: TestResponse) -> Refusal:
        """What is stored of a refusal, after its shape was checked."""
        reference = check_error(answer)
        self.gateway.ledger.submit(lambda session: None).result(
            timeout=20
        )  # what was queued before is written
        with self.gateway.database.session() as session:
            return session.get_one(Refusal, reference)


def check_error(answer: TestResponse) -> str:
    """Check the shape that every error has; return its reference."""
    assert answer.status_code >= 400, answer.get_data(as_text=True)
    assert answer.mimetype == "application/json"
    assert list(answer.json) == ["error"]
    error = answer.json["error"]
    assert set(error) == {"code", "message", "field"}
    assert len(error["message"]) <= 250
    reference = _REFERENCE.search(error["message"])
    assert reference, error["message"]
    assert answer.headers["X-Request-Id"] == reference[1]
    return reference[1]


def refused(answer: TestResponse) -> tuple[int, str | None]:
    """The status and the field of an error, after its shape was checked."""
    check_error(answer)
    return answer.status_code, answer.json["error"]["field"]


@pytest.fixture
def make_api(make_app: Callable[..., Flask]) -> Callable[..., Api]:
    """Programs, each with an app of its own; keyword arguments are settings."""

    def make(**overrides: Any) -> Api:
        app = make_app(**overrides)
        app.register_blueprint(create_api(gateway_of(app)))
        return Api(app)

    return make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    """A program, with the usual settings."""
    return make_api()
