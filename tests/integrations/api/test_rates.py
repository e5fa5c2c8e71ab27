"""Limits at the HTTP door: what is refused, and what callers are told beforehand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from integrations.api import create_api
from tests.integrations.api.conftest import Caller, refused
from tests.support.factories import make_api_key
from tests.support.queue import until
from tests.support.redis_server import RedisServer
from webapp import create_app, gateway_of
from webapp.core.models import ApiKeyRow, Domain
from webapp.core.rules.quotas import Limits
from webapp.core.services import quotas
from webapp.core.services.audit import COMMAND_LINE

#: Redis knows nothing of our database: once is enough.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
FALLEN_BACK = "Rate limit storage unreachable - falling back to in-memory storage"


def limit(caller: Caller, model: type[ApiKeyRow] | type[Domain] = ApiKeyRow, **limits: int) -> None:
    with caller.gateway.database.session() as session:
        quotas.set_limits(session, COMMAND_LINE, session.scalars(select(model)).one(), Limits(**limits))


def test_no_limit_no_header(caller: Caller) -> None:
    assert "RateLimit" not in caller.send().headers
    assert "RateLimit-Policy" not in caller.get("/me").headers


def test_the_headers_count_down_and_429_says_when_to_come_back(caller: Caller) -> None:
    limit(caller, messages_per_hour=2)
    limit(caller, Domain, messages_per_day=50)
    answer = caller.send()
    assert answer.status_code == 202
    assert answer.headers["RateLimit-Policy"] == '"credential-hour";q=2;w=3600, "domain-day";q=50;w=86400'
    hour, day = answer.headers["RateLimit"].split(", ")
    assert hour.startswith('"credential-hour";r=1;t=')
    assert day.startswith('"domain-day";r=49;t=')
    assert caller.send().status_code == 202
    answer = caller.send()
    message = refused(answer, 429, "quota")
    assert "The limit of 2 messages an hour for this log-in is reached" in message
    assert 0 < int(answer.headers["Retry-After"]) <= 3600
    assert '"credential-hour";r=0;' in answer.headers["RateLimit"]
    assert '"credential-hour";r=0;' in caller.get("/me").headers["RateLimit"]


def test_a_repeat_is_answered_at_the_limit(caller: Caller) -> None:
    limit(caller, messages_per_day=1)
    first = caller.send(idempotency_key="order-1")
    again = caller.send(idempotency_key="order-1")
    assert (again.status_code, again.json["id"]) == (202, first.json["id"])
    refused(caller.send(idempotency_key="order-2"), 429, "quota")
    limit(caller)
    assert caller.send(idempotency_key="order-2").status_code == 202  # the refusal was not kept


def test_recipients_a_message(caller: Caller) -> None:
    limit(caller, recipients_per_message=2)
    assert caller.send(to="a@example.org, b@example.org").status_code == 202
    message = refused(
        caller.send(to="a@example.org", cc="b@example.org", bcc="c@example.org"), 422, "too_many_recipients", "to"
    )
    assert "at most 2 a message" in message


def allow(caller: Caller, **rates: int | None) -> None:
    with caller.gateway.database.session() as session:
        caller.gateway.preferences.store(session, COMMAND_LINE, rates)


def test_requests_with_a_key(caller: Caller) -> None:
    assert "RateLimit" not in caller.get("/me").headers
    allow(caller, requests_per_key=3)
    left = [caller.get(path).headers["RateLimit"] for path in ("/me", "/domains", "/me")]
    assert [one.partition(";t=")[0] for one in left] == [f'"requests-key";r={n}' for n in (2, 1, 0)]
    answer = caller.get("/domains")
    message = refused(answer, 429, "too_many_requests")
    assert message.startswith("Too many requests with this key: at most 3 a minute")
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["RateLimit-Policy"] == '"requests-key";q=3;w=60'
    assert caller.refusal(answer).cause == "requests_per_key"
    other = Caller(caller.app, make_api_key(caller.gateway)[1])
    assert other.get("/me").status_code == 200
    allow(caller, requests_per_key=None)
    assert caller.get("/me").status_code == 200


def test_requests_from_an_address_with_and_without_a_key(caller: Caller) -> None:
    allow(caller, requests_per_address=2)
    stranger = Caller(caller.app, None)
    refused(stranger.get("/me"), 401, "key_missing")
    assert caller.get("/me").status_code == 200
    refused(caller.get("/me"), 429, "too_many_requests")
    refused(stranger.get("/me"), 429, "too_many_requests")
    elsewhere = Caller(caller.app, caller.key, ip="192.0.2.11")
    assert [elsewhere.get(path).status_code for path in ("/openapi.json", "/me", "/me")] == [200, 200, 429]


@on_sqlite
def test_processes_count_together_in_redis(make_caller: Callable[..., Caller], tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        first = make_caller(redis_url=redis.url)
        second = create_app(first.gateway.settings)
        second.register_blueprint(create_api(gateway_of(second)))
        allow(first, requests_per_key=3)
        callers = [first, Caller(second, first.key)] * 2
        assert [caller.get("/me").status_code for caller in callers] == [200, 200, 200, 429]
        gateway_of(second).close()


@on_sqlite
def test_without_its_redis_the_api_counts_for_itself(
    make_caller: Callable[..., Caller], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RedisServer(tmp_path) as redis:
        caller = make_caller(redis_url=redis.url)
        allow(caller, requests_per_key=2)
        assert caller.get("/me").status_code == 200
        redis.stop()
        assert [caller.get("/me").status_code for _ in range(3)] == [200, 200, 429]
        assert [record.message for record in caplog.records].count(FALLEN_BACK) == 1
        redis.start()
        caplog.set_level("INFO", "flask-limiter")
        until(lambda: caller.get("/me") and "Rate limit storage recovered" in caplog.messages)
        assert [caller.get("/me").status_code for _ in range(2)] == [200, 429]  # the new one counts from the start


@on_sqlite
def test_a_redis_that_was_never_there_keeps_nobody_out(make_caller: Callable[..., Caller], tmp_path: Path) -> None:
    caller = make_caller(redis_url=f"unix://{tmp_path}/nowhere.sock")
    assert caller.send().status_code == 202
    allow(caller, requests_per_key=1)
    assert caller.send().status_code == 202
    refused(caller.send(), 429, "too_many_requests")
