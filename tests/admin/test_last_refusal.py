"""The lists of credentials name the last refusal of each, and lead to its trace."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from tests.admin.conftest import Browser
from tests.admin.mailroom import rows
from tests.support.factories import OFFICE, PASSWORD, make_api_key, make_domain, make_smtp_user, submission
from webapp import gateway_of
from webapp.core.models import CredentialRow
from webapp.core.rules.quotas import Limits
from webapp.core.rules.refusals import Refused
from webapp.core.rules.submission import Peer
from webapp.core.services import quotas
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway

STRANGER = Peer("smtp", "10.0.0.9", "x")


@pytest.fixture
def gateway(owner: Browser) -> Gateway:
    """The panel's services, with a printer and its neighbour."""
    gateway = gateway_of(owner.app)
    make_domain(gateway)
    make_smtp_user(gateway)
    make_smtp_user(gateway, "scanner@example.com")
    return gateway


def written(gateway: Gateway) -> None:
    gateway.ledger.submit(lambda session: None).result(10)


def test_a_wrong_password_is_named_at_its_user(owner: Browser, gateway: Gateway) -> None:
    with pytest.raises(Refused) as caught:
        gateway.authenticate_smtp("Printer@example.com", "Wrong-Horse", STRANGER)
    gateway.refuse(caught.value, STRANGER, name=" Printer@Example.com")
    written(gateway)
    page = owner.get("/admin/smtp-users/").get_data(as_text=True)
    scanner, printer = rows(page)
    assert "Refused: wrong password" in printer
    assert "from 10.0.0.9" in printer
    assert "Refused" not in scanner
    assert f'href="/admin/why/?q={caught.value.reference}"' in page
    trace = owner.get(f"/admin/why/?q={caught.value.reference}").get_data(as_text=True)
    assert "the password was wrong" in trace


def test_the_newest_counts_whatever_the_reason(owner: Browser, gateway: Gateway) -> None:
    printer = gateway.authenticate_smtp("printer@example.com", PASSWORD, OFFICE)
    with pytest.raises(Refused) as caught:
        gateway.authenticate_smtp("printer@example.com", "Wrong-Horse", STRANGER)
    gateway.refuse(caught.value, STRANGER, name="printer@example.com")
    with gateway.database.session() as session:
        quotas.set_limits(session, COMMAND_LINE, session.get_one(CredentialRow, printer.id), Limits(1))
    gateway.submit(submission(printer)).result(10)
    with pytest.raises(Refused) as caught:
        gateway.submit(submission(printer)).result(10)
    gateway.refuse(caught.value, OFFICE, credential=printer)
    written(gateway)
    assert "Refused: sending limit reached" in rows(owner.get("/admin/smtp-users/").get_data(as_text=True))[1]


def test_a_wrong_secret_is_named_at_its_key(owner: Browser, gateway: Gateway) -> None:
    _, key = make_api_key(gateway)
    public_id = key.split("_")[1]
    with pytest.raises(Refused) as caught:
        gateway.authenticate_key(key[:-3] + "abc", Peer("http", "10.0.0.9"))
    gateway.refuse(caught.value, Peer("http", "10.0.0.9"), name=public_id)
    gateway.refuse(Refused(caught.value.reason), Peer("http", "10.0.0.9"), name="unknown0")
    written(gateway)
    (row,) = rows(owner.get("/admin/api-keys/").get_data(as_text=True))
    assert "Refused: wrong secret" in row


def test_a_page_of_rows_takes_no_query_a_row(owner: Browser, gateway: Gateway) -> None:
    asked: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    for number in range(10):
        make_smtp_user(gateway, f"user{number}@example.com")
    event.listen(gateway.database.engine, "before_cursor_execute", note)
    assert len(rows(owner.get("/admin/smtp-users/").get_data(as_text=True))) == 12
    assert sum("refusals" in statement for statement in asked) == 1
