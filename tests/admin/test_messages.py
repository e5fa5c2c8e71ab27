"""The message list: what it shows, finds and leaves out, and what it asks of the database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import event, update

from tests.admin.conftest import Browser
from tests.admin.mailroom import credential, mail, rows, send, settle
from tests.support.factories import make_domain, source
from webapp import gateway_of
from webapp.core.models import Domain, Message, utcnow
from webapp.core.rules.identifiers import first_message_id
from webapp.core.rules.statuses import Status
from webapp.core.services.gateway import Gateway

LIST = "/admin/messages/"


@pytest.fixture
def gateway(panel_app: Flask) -> Gateway:
    """The panel's services."""
    return gateway_of(panel_app)


@pytest.fixture
def statements(gateway: Gateway) -> Iterator[list[str]]:
    """What the database is asked from here on."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(gateway.database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(gateway.database.engine, "before_cursor_execute", note)


def listed(browser: Browser, query: str = "") -> list[str]:
    answer = browser.get(LIST + query)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return rows(answer.get_data(as_text=True))


def test_an_empty_list_says_how_to_send(owner: Browser) -> None:
    page = owner.get(LIST).get_data(as_text=True)
    assert "No messages yet" in page
    assert "/admin/smtp-users/" in page


def test_a_row_says_who_what_to_whom_and_how_it_went(owner: Browser, gateway: Gateway) -> None:
    send(gateway, "ann@example.org", "bob@example.org", "carla@example.org")
    settle(gateway, bob=(Status.BOUNCED, 550, "5.1.1 no such user"))
    (row,) = listed(owner)
    for part in ("shop@example.com", "Your order", "ann@example.org", "and 2 more", "Bounced", "SMTP"):
        assert part in row


def test_strangers_words_are_escaped(owner: Browser, gateway: Gateway) -> None:
    send(gateway, source=mail("text/plain", b"x", subject="<script>alert(1)</script>"))
    page = owner.get(LIST).get_data(as_text=True)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    searched = owner.get(LIST + "?search=%22%3E%3Cscript%3Ealert(2)").get_data(as_text=True)
    assert "<script>alert" not in searched


def test_search_looks_at_subject_sender_and_recipient(owner: Browser, gateway: Gateway) -> None:
    send(gateway, "ann@customer.example", source=source(extra="X-A: 1\r\n"))
    send(gateway, "bob@other.example", source=mail("text/plain", b"x", subject="Invoice 50%_off"))
    assert len(listed(owner)) == 2
    for words, found in (
        ("CUSTOMER", 1),
        ("invoice", 1),
        ("shop@", 2),
        ("order ann", 1),
        ("order bob", 0),
        ("50%25_off", 1),
        ("5%25off", 0),
        ("_", 1),
        ("%5C", 0),
        ("'", 0),
    ):
        assert len(listed(owner, f"?search={words}")) == found, words


def test_filters(owner: Browser, gateway: Gateway) -> None:
    first = send(gateway, "ann@example.org")
    settle(gateway, ann=(Status.DEFERRED, 451, "4.2.1 later"))
    send(gateway, "bob@example.net")
    today = utcnow().date()
    key = credential(gateway).id
    for query, found in (
        ("flt0_status_is=deferred", 1),
        ("flt0_status_is=waiting", 2),
        ("flt0_status_is=problem", 1),
        ("flt0_status_is=delivered", 0),
        ("flt0_recipient_contains=example.net", 1),
        ("flt0_sender_contains=shop", 2),
        ("flt0_subject_contains=ORDER", 2),
        (f"flt0_credential_is={key}", 2),
        (f"flt0_credential_is={key + 1}", 0),
        (f"flt0_date_on_or_after={today}", 2),
        (f"flt0_date_on_or_before={today}", 2),
        (f"flt0_date_on_or_after={today + timedelta(days=1)}", 0),
        (f"flt0_date_on_or_before={today - timedelta(days=1)}", 0),
        (f"search={first}", 1),
        (f"flt0_status_is=waiting&flt1_recipient_contains=ann&flt2_date_on_or_after={today}", 1),
    ):
        assert len(listed(owner, f"?{query}")) == found, query


@pytest.mark.parametrize(
    "query",
    [
        "flt0_status_is=nonsense",
        "flt0_credential_is=x",
        "flt0_credential_is=99999999999999999999",
        "flt0_date_on_or_after=yesterday",
        "flt0_date_on_or_before=9999-12-31",
        "flt0_nothing=1",
        "page=-1",
        "page=99999999999999999999999",
        "page=x",
        "sort=99",
        "sort=-1&desc=1",
        "page_size=1000000",
        "search=" + "a%20" * 500,
        "search=" + "x" * 5000,
    ],
)
def test_nonsense_in_the_address_is_survived(owner: Browser, gateway: Gateway, query: str) -> None:
    send(gateway)
    assert owner.get(f"{LIST}?{query}").status_code == 200


def test_the_domain_in_the_address_narrows_the_list(owner: Browser, gateway: Gateway) -> None:
    send(gateway, "ann@example.org")
    other = send(gateway, "bob@example.org", domain="example.net")
    assert len(listed(owner)) == 2
    assert "Domain" in owner.get(LIST).get_data(as_text=True)
    (row,) = listed(owner, "?domain=example.net")
    assert "bob@example.org" in row
    assert owner.get(f"{LIST}{other}/?domain=example.net").status_code == 200
    assert owner.get(f"{LIST}{other}/?domain=example.com").status_code == 404
    assert owner.get(f"{LIST}?domain=nowhere.example").status_code == 404
    assert f"{LIST}{other}/?domain=example.net" in owner.get(f"{LIST}?domain=example.net").get_data(as_text=True)


def test_the_credential_filter_offers_those_of_the_domain(owner: Browser, gateway: Gateway) -> None:
    credential(gateway)
    send(gateway, domain="example.net")
    page = owner.get(f"{LIST}?domain=example.net").get_data(as_text=True)
    assert "printer@example.net" in page
    assert "printer@example.com" not in page


def test_the_history_of_a_deleted_domain_stays(owner: Browser, gateway: Gateway) -> None:
    message_id = send(gateway, domain="gone.example")
    make_domain(gateway)
    with gateway.database.session() as session:
        session.execute(update(Domain).where(Domain.name == "gone.example").values(deleted_at=utcnow()))
    assert len(listed(owner)) == 1
    assert owner.get(f"{LIST}{message_id}/").status_code == 200


def test_pages_go_on_while_there_is_more(owner: Browser, gateway: Gateway) -> None:
    for number in range(26):
        send(gateway, f"person{number}@example.org")
    first = owner.get(LIST).get_data(as_text=True)
    assert len(rows(first)) == 25
    assert "person25@" in rows(first)[0]
    assert 'rel="next"' in first
    second = owner.get(f"{LIST}?page=1").get_data(as_text=True)
    assert "person0@" in rows(second)[0]
    assert len(rows(second)) == 1
    assert 'rel="next"' not in second
    beyond = owner.get(f"{LIST}?page=2").get_data(as_text=True)
    assert "last page" in beyond
    assert "No messages yet" not in beyond


def test_a_full_page_costs_few_queries_and_never_a_count(
    owner: Browser, gateway: Gateway, statements: list[str]
) -> None:
    for number in range(3):
        send(gateway, f"a{number}@example.org", f"b{number}@example.org")
    owner.get(LIST)
    statements.clear()
    owner.get(LIST)
    few = len(statements)
    for number in range(20):
        send(gateway, f"c{number}@example.org", f"d{number}@example.org")
    statements.clear()
    owner.get(LIST)
    assert len(statements) <= few, "the number of queries must not grow with the rows"
    of_messages = [statement for statement in statements if "FROM messages" in statement]
    assert of_messages
    assert not [statement for statement in of_messages if re.search(r"count\(", statement, re.IGNORECASE)]
    assert not [statement for statement in statements if "credential_secrets" in statement], (
        "no secret is read for a list"
    )


def test_identifiers_are_ranges_of_time(gateway: Gateway) -> None:
    before = utcnow()
    message_id = send(gateway)
    assert (
        first_message_id(before - timedelta(seconds=1)) < message_id < first_message_id(utcnow() + timedelta(seconds=1))
    )


def test_nobody_reads_it_without_a_login(browser: Browser, gateway: Gateway) -> None:
    message_id = send(gateway)
    for path in ("", f"{message_id}/", f"{message_id}/body", f"{message_id}/source", f"{message_id}/progress"):
        answer = browser.get(LIST + path)
        assert answer.status_code == 303
        assert "/login" in answer.headers["Location"]


@pytest.mark.parametrize("path", ["new/", "edit/?id=1", "details/?id=1", "export/csv/"])
def test_the_list_makes_and_changes_nothing(owner: Browser, gateway: Gateway, path: str) -> None:
    send(gateway)
    assert owner.get(LIST + path).status_code in {302, 303, 403, 404}
    assert owner.post(LIST + "delete/", {"id": "x"}).status_code == 403
    with gateway.database.session() as session:
        assert session.query(Message).count() == 1
