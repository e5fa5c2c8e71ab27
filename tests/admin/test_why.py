"""Why was it refused? The page that explains a reference or an address, and the audit log beside it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from tests.admin.conftest import Browser
from tests.admin.mailroom import credential, rows
from webapp import gateway_of
from webapp.core.models import AuditEntry, Lock, utcnow
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Peer
from webapp.core.services.gateway import Gateway

PAGE = "/admin/why/"
UNLOCK = "/admin/locks/unlock"
LOCKED = 'Address <span class="text-nowrap">{}</span> is locked'


@pytest.fixture
def gateway(panel_app: Flask) -> Gateway:
    """The panel's services."""
    return gateway_of(panel_app)


def refuse(gateway: Gateway, ip: str = "192.0.2.77", name: str = "x@example.com", **values: str) -> str:
    """Refuse a log-in as a door does, and wait until it is written."""
    refused = Refused(Reason.AUTH_FAILED, **({"cause": "wrong_password"} | values))
    gateway.refuse(refused, Peer("smtp", ip, "<b>Outlook</b>"), name=name)
    gateway.ledger.submit(lambda session: None).result(10)
    return refused.reference


def lock(gateway: Gateway, subject: str, *, minutes: int = 30, **what: str) -> int:
    """Lock; the id of the lock."""
    now = utcnow()
    values = {"scope": "address", "level": 0, "failures": 10, "locked_at": now} | what
    made = Lock(subject=subject, locked_until=now + timedelta(minutes=minutes), **values)
    with gateway.database.session() as session:
        session.add(made)
        session.flush()
        return made.id


def page_of(browser: Browser, question: str) -> str:
    answer = browser.get(PAGE, query_string={"q": question})
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def test_a_reference_is_explained(owner: Browser, gateway: Gateway) -> None:
    reference = refuse(gateway, name="<i>printer</i>@example.com")
    for question in (reference, reference.lower(), f"535 5.7.8 Username … [ref {reference}]"):
        page = page_of(owner, question)
        assert "the password was wrong" in page
        assert "What to do:" in page
        assert "192.0.2.77" in page
        assert "&lt;i&gt;printer&lt;/i&gt;@example.com" in page
        assert "&lt;b&gt;Outlook&lt;/b&gt;" in page
        assert "<b>Outlook" not in page


def test_the_credential_is_named_with_its_note(owner: Browser, gateway: Gateway) -> None:
    refused = Refused(Reason.SENDER_NOT_ALLOWED, domain="example.com")
    gateway.refuse(refused, Peer("smtp", "192.0.2.1"), credential=credential(gateway))
    gateway.ledger.submit(lambda session: None).result(10)
    page = page_of(owner, refused.reference)
    assert "printer@example.com" in page
    assert "not at the domain that this log-in is for" in page
    assert "The sender must be an address at example.com" in page


def test_a_locked_address_is_unlocked_by_a_manager(logged_in: Callable[[str], Browser], gateway: Gateway) -> None:
    refuse(gateway, "198.51.100.66")
    locked = lock(gateway, "198.51.100.66", address="198.51.100.66")
    manager = logged_in("manager")
    page = page_of(manager, "198.51.100.66")
    assert LOCKED.format("198.51.100.66") in page
    assert "after 10 failed log-ins" in page
    assert len(rows(page)) == 1
    back = PAGE + "?q=198.51.100.66"
    assert manager.post(UNLOCK, {"id": locked, "url": back}).headers["Location"] == back
    page = page_of(manager, "198.51.100.66")
    assert "198.51.100.66 is unlocked" in page
    assert "is not locked." in page
    with gateway.database.session() as session:
        assert session.scalars(select(Lock.cleared_by)).one() == "manager@example.com"
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "unlock")).one()
        assert (entry.actor, entry.label) == ("manager@example.com", "198.51.100.66")
    manager.post(UNLOCK, {"id": locked})
    assert "That lock has ended already" in page_of(manager, "")


def test_an_ipv6_address_is_found_by_its_network(owner: Browser, gateway: Gateway) -> None:
    locked = lock(gateway, "2001:db8::/64")
    page = page_of(owner, "2001:db8::1234")
    assert LOCKED.format("2001:db8::/64") in page
    assert owner.post(UNLOCK, {"id": locked}).status_code == 303
    assert "is not locked." in page_of(owner, "2001:db8::1234")


def test_a_lock_that_is_over_is_none(owner: Browser, gateway: Gateway) -> None:
    lock(gateway, "198.51.100.66", minutes=-1)
    assert "is not locked." in page_of(owner, "198.51.100.66")


def test_a_viewer_reads_but_does_not_unlock(logged_in: Callable[[str], Browser], gateway: Gateway) -> None:
    locked = lock(gateway, "198.51.100.66")
    viewer = logged_in("viewer")
    page = page_of(viewer, "198.51.100.66")
    assert "A manager or an owner can unlock it." in page
    assert "/unlock" not in page
    assert viewer.post(UNLOCK, {"id": locked}).status_code == 403
    assert "is locked" in page_of(viewer, "198.51.100.66")


def test_unlocking_needs_a_token_and_a_lock(owner: Browser, gateway: Gateway) -> None:
    locked = lock(gateway, "198.51.100.66")
    assert owner.post(UNLOCK, {"id": locked}, token=False).status_code == 400
    for number in ("", "nonsense", "<script>", "9" * 30, "0", "²"):
        assert owner.post(UNLOCK, {"id": number}).status_code == 303
    assert owner.post(UNLOCK, {"id": locked, "url": "https://evil.example/"}).headers["Location"] == "/admin/locks/"


def test_a_refused_log_in_shows_the_locks_that_were_in_its_way(owner: Browser, gateway: Gateway) -> None:
    of_login = {"kind": "smtp_user", "login": "x@example.com"}
    lock(gateway, "smtp_user x@example.com", scope="credential", **of_login)
    lock(gateway, "smtp_user x@example.com 192.0.2.77", scope="pair", address="192.0.2.77", **of_login)
    lock(gateway, "smtp_user y@example.com", scope="credential", kind="smtp_user", login="y@example.com")
    page = page_of(owner, refuse(gateway, name="X@example.com"))
    assert page.count(" is locked</strong>") == 2
    assert 'from <span class="text-nowrap">192.0.2.77</span> is locked' in page
    assert page_of(owner, "192.0.2.77").count(" is locked</strong>") == 1


def test_without_a_question_the_newest_are_listed(owner: Browser, gateway: Gateway) -> None:
    lock(gateway, "198.51.100.66")
    first, second = refuse(gateway), refuse(gateway, cause="unknown_user")
    page = page_of(owner, "")
    listed = rows(page)
    assert second in listed[0]
    assert "no SMTP user with this name" in listed[0]
    assert first in listed[1]
    assert LOCKED.format("198.51.100.66") in page


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("hello", "neither a reference nor an IP address"),
        ("<script>alert(1)</script>", "neither a reference nor an IP address"),
        ("ABCDEFGHJK", "Nothing is known under this reference"),
        ("203.0.113.200", "Nothing was refused"),
        ("x" * 10_000, "neither a reference nor an IP address"),
    ],
)
def test_what_is_not_known_is_said(owner: Browser, question: str, said: str) -> None:
    page = page_of(owner, question)
    assert said in page
    assert "<script>alert" not in page


def test_the_audit_log_is_read_by_managers_and_changed_by_nobody(
    logged_in: Callable[[str], Browser], gateway: Gateway
) -> None:
    credential(gateway)
    manager = logged_in("manager")
    page = manager.get("/admin/audit/").get_data(as_text=True)
    assert any("created domain example.com" in row for row in rows(page))
    assert any("created credential printer@example.com" in row and "(secret)" in row for row in rows(page))
    for query, found in (
        ("search=printer", 1),
        ("search=nobody", 0),
        ("flt0_what_equals=vouch", 1),
        ("flt0_name_contains=example.com", 7),
        (f"flt0_date_on_or_after={utcnow().date()}", 7),
        (f"flt0_date_on_or_before={utcnow().date() - timedelta(days=1)}", 0),
        ("flt0_date_on_or_before=9999-12-31", 7),
        ("page=99999999999999999999", 0),
    ):
        listed = rows(manager.get(f"/admin/audit/?{query}").get_data(as_text=True))
        assert len(listed) == found, (query, listed)
    assert manager.post("/admin/audit/delete/", {"id": "1"}).status_code == 403
    assert logged_in("owner").post("/admin/audit/delete/", {"id": "1"}).status_code == 403
    assert logged_in("viewer").get("/admin/audit/").status_code == 403
