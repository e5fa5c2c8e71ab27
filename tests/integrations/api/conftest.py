"""The API in front of real services, and a caller with a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from integrations.api import create_api
from tests.support.factories import make_api_key, make_domain
from webapp import gateway_of
from webapp.core.models import Delivery, MessageSource, Refusal
from webapp.core.services.gateway import Gateway

MAIL = {"from": "shop@example.com", "to": "ann@example.org", "subject": "Your order", "text": "Hello."}


class Caller:
    """Calls the API with a key, and looks at what became of it."""

    def __init__(self, app: Flask, key: str | None, ip: str = "192.0.2.10") -> None:
        self.app, self.key, self.ip = app, key, ip
        self.gateway: Gateway = gateway_of(app)

    def open(self, path: str, *, headers: dict[str, str] | None = None, **values: Any) -> TestResponse:
        """Send one request."""
        authorization = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return self.app.test_client().open(
            f"/v1{path}", headers=authorization | (headers or {}), environ_base={"REMOTE_ADDR": self.ip}, **values
        )

    def get(self, path: str, **values: Any) -> TestResponse:
        """GET *path*."""
        return self.open(path, **values)

    def send(self, body: Any = None, *, http: dict[str, str] | None = None, **fields: Any) -> TestResponse:
        """POST to /send as JSON: *body*, or a usual mail with *fields* instead; None takes a field away.

        *http* are the request's headers.
        """
        if body is None:
            merged = MAIL | {name.removesuffix("_"): value for name, value in fields.items()}
            body = {name: value for name, value in merged.items() if value is not None}
        return self.open("/send", method="POST", json=body, headers=http)

    def post(self, data: Any, content_type: str | None = None, **values: Any) -> TestResponse:
        """POST *data* to /send as it is."""
        return self.open("/send", method="POST", data=data, content_type=content_type, **values)

    def mail(self, response: TestResponse) -> EmailMessage:
        """The message that *response* took in."""
        return parsed(self.source(response))

    def source(self, response: TestResponse) -> bytes:
        """Its octets."""
        assert response.status_code == 202, response.get_data(as_text=True)
        with self.gateway.database.session() as session:
            return session.get_one(MessageSource, response.json["id"]).source

    def recipients(self, response: TestResponse) -> list[str]:
        """Its envelope."""
        assert response.status_code == 202, response.get_data(as_text=True)
        query = select(Delivery.recipient).where(Delivery.message_id == response.json["id"]).order_by(Delivery.id)
        with self.gateway.database.session() as session:
            return list(session.scalars(query))

    def refusal(self, response: TestResponse) -> Refusal:
        """What was noted under the reference that *response* carries."""
        self.gateway.ledger.submit(lambda session: None).result()  # what was queued before it is written now
        with self.gateway.database.session() as session:
            return session.scalars(select(Refusal).where(Refusal.reference == response.headers["X-Request-Id"])).one()


def parsed(source: bytes) -> EmailMessage:
    """*source* as the standard library reads it."""
    message = message_from_bytes(source, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def refused(response: TestResponse, status: int, code: str, field: str | None = None) -> str:
    """Check an error's whole shape; return its sentence."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.mimetype == "application/json"
    assert set(response.json) == {"error"}
    error = response.json["error"]
    assert set(error) == {"code", "message", "field"}
    assert (error["code"], error["field"]) == (code, field), error
    assert len(error["message"]) <= 250
    assert error["message"].endswith(f"[ref {response.headers['X-Request-Id']}]")
    if status in {429, 503}:
        assert int(response.headers["Retry-After"]) > 0
    if status == 401:
        assert response.headers["WWW-Authenticate"] == "Bearer"
    return str(error["message"])


@pytest.fixture
def make_caller(make_app: Callable[..., Flask]) -> Callable[..., Caller]:
    """Callers, each with a server of its own; keyword arguments are settings."""

    def make(**settings: Any) -> Caller:
        app = make_app(**settings)
        gateway = gateway_of(app)
        app.register_blueprint(create_api(gateway))
        make_domain(gateway)
        return Caller(app, make_api_key(gateway, note="Shop")[1])

    return make


@pytest.fixture
def caller(make_caller: Callable[..., Caller]) -> Caller:
    """A caller with a key for example.com."""
    return make_caller()


@contextmanager
def without_database(gateway: Gateway) -> Iterator[None]:
    """The database is unreachable meanwhile."""
    database = gateway.database
    working = database.engine
    if working.dialect.name == "sqlite":
        aside = database.path.with_suffix(".aside")
        database.path.rename(aside)
        try:
            yield
        finally:
            aside.rename(database.path)
        return
    from sqlalchemy import create_engine, make_url, text

    name = database.url.database
    server = create_engine(make_url(database.url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))
        connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"))
        try:
            yield
        finally:
            connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"))
    server.dispose()
