"""Sending limits: what counts, for whom, in how many processes, and what is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import func, select

from tests.support.factories import OFFICE, PASSWORD, make_api_key, make_domain, make_smtp_user, submission
from webapp import gateway_of
from webapp.core.models import CredentialRow, Domain, Message, SendCounter, utcnow
from webapp.core.rules.quotas import Limits
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Accepted, Credential, Peer
from webapp.core.services import quotas
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway

PROGRAM = Peer("http", "192.0.2.10", "curl", "HTTP")


@pytest.fixture
def printer(gateway: Gateway) -> Credential:
    make_domain(gateway)
    make_smtp_user(gateway)
    return gateway.authenticate_smtp("printer@example.com", PASSWORD, OFFICE)


def limit(gateway: Gateway, model: type[CredentialRow] | type[Domain], row_id: int, **limits: int | None) -> None:
    with gateway.database.session() as session:
        quotas.set_limits(session, COMMAND_LINE, session.get_one(model, row_id), Limits(**limits))


def accept(gateway: Gateway, credential: Credential, **values: object) -> Accepted:
    return gateway.submit(submission(credential, **values)).result(20)


def refused(gateway: Gateway, credential: Credential, **values: object) -> Refused:
    with pytest.raises(Refused) as caught:
        accept(gateway, credential, **values)
    return caught.value


def test_without_a_limit_nothing_is_counted(gateway: Gateway, printer: Credential) -> None:
    accept(gateway, printer)
    assert gateway.allowances(printer) == []
    with gateway.database.session() as session:
        assert session.scalar(select(func.count()).select_from(SendCounter)) == 0


def test_the_message_beyond_the_limit_is_refused_for_a_while(gateway: Gateway, printer: Credential) -> None:
    limit(gateway, CredentialRow, printer.id, messages_per_hour=2, messages_per_day=50)
    accept(gateway, printer, recipients=("a@example.org", "b@example.org", "c@example.org"))  # counts as one
    accept(gateway, printer)
    error = refused(gateway, printer)
    assert error.reason is Reason.QUOTA
    assert error.retry_after is not None
    assert 0 < error.retry_after <= 3600
    assert error.smtp_reply.startswith("450 4.7.1 ")
    assert "2 messages an hour for this log-in" in error.http_message
    refused(gateway, printer)
    hour, day = gateway.allowances(printer)
    assert (hour.used, hour.remaining, day.used, day.remaining) == (2, 0, 2, 48)  # what was refused didn't count
    limit(gateway, CredentialRow, printer.id)
    accept(gateway, printer)


def test_a_domain_limit_counts_all_its_credentials(gateway: Gateway, printer: Credential) -> None:
    key = gateway.authenticate_key(make_api_key(gateway)[1], PROGRAM)
    limit(gateway, Domain, printer.domain_id, messages_per_day=2)
    accept(gateway, printer)
    accept(gateway, key)
    error = refused(gateway, key)
    assert "2 messages a day for example.com" in error.http_message
    assert error.cause == "domain_day"
    assert refused(gateway, printer).reason is Reason.QUOTA


def test_a_repeat_neither_counts_nor_is_refused(gateway: Gateway, printer: Credential) -> None:
    limit(gateway, CredentialRow, printer.id, messages_per_hour=1)
    first = accept(gateway, printer, idempotency_key="order-1")
    assert refused(gateway, printer, idempotency_key="order-2").reason is Reason.QUOTA
    again = accept(gateway, printer, idempotency_key="order-1")
    assert (again.id, again.repeated) == (first.id, True)


def test_what_is_refused_for_another_reason_does_not_count(gateway: Gateway, printer: Credential) -> None:
    limit(gateway, CredentialRow, printer.id, messages_per_hour=1, recipients_per_message=1)
    error = refused(gateway, printer, recipients=("a@example.org", "b@example.org"))
    assert (error.reason, error.field, error.details["limit"]) == (Reason.TOO_MANY_RECIPIENTS, "to", "1")
    accept(gateway, printer)


def test_the_smaller_number_of_recipients_holds(gateway: Gateway, printer: Credential) -> None:
    assert gateway.check_sender(printer, "shop@example.com") == 1000
    limit(gateway, Domain, printer.domain_id, recipients_per_message=20)
    limit(gateway, CredentialRow, printer.id, recipients_per_message=30)
    assert gateway.check_sender(printer, "shop@example.com") == 20


def test_two_processes_share_the_count_and_a_restart_keeps_it(make_app: Callable[..., Flask]) -> None:
    first, second = gateway_of(make_app()), gateway_of(make_app())
    make_domain(first)
    make_smtp_user(first)
    one = first.authenticate_smtp("printer@example.com", PASSWORD, OFFICE)
    limit(first, CredentialRow, one.id, messages_per_hour=10)
    limit(first, Domain, one.domain_id, messages_per_day=10)

    def send(number: int) -> Reason | None:
        error = (first, second)[number % 2].submit(submission(one)).exception(20)
        return error.reason if isinstance(error, Refused) else None

    with ThreadPoolExecutor(8) as threads:
        told = Counter(threads.map(send, range(30)))
    assert told == {None: 10, Reason.QUOTA: 20}
    restarted = gateway_of(make_app())
    assert refused(restarted, one).reason is Reason.QUOTA
    with first.database.session() as session:
        assert session.scalar(select(func.count()).select_from(Message)) == 10


def test_rows_show_what_is_used_in_one_query(gateway: Gateway, printer: Credential) -> None:
    limit(gateway, CredentialRow, printer.id, messages_per_day=5)
    accept(gateway, printer)
    with gateway.database.session() as session:
        rows = [session.get_one(CredentialRow, printer.id), session.get_one(Domain, printer.domain_id)]
        told = quotas.of_rows(session, rows, utcnow())
    assert list(told) == [("credential", printer.id)]
    assert [(one.used, one.limit) for one in told["credential", printer.id]] == [(1, 5)]
