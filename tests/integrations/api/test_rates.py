"""Limits at the HTTP door: what is refused, and what callers are told beforehand."""

from __future__ import annotations

from sqlalchemy import select

from tests.integrations.api.conftest import Caller, refused
from webapp.core.models import ApiKeyRow, Domain
from webapp.core.rules.quotas import Limits
from webapp.core.services import quotas
from webapp.core.services.audit import COMMAND_LINE


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
