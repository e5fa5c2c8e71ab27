"""Failed attempts and locks, as people look at them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from tests.admin.conftest import Browser
from tests.admin.mailroom import rows
from tests.support.factories import PASSWORD, make_domain, make_smtp_user
from webapp import gateway_of
from webapp.core.models import AuditEntry, Refusal, ReverseName, utcnow
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Peer
from webapp.core.services import reverse_names
from webapp.core.services.gateway import Gateway

PAGE = "/admin/attempts/"
ATTACKER = "203.0.113.9"


@pytest.fixture
def gateway(panel_app: Flask) -> Gateway:
    """The panel's services."""
    return gateway_of(panel_app)


def refuse(gateway: Gateway, reason: Reason, ip: str = ATTACKER, name: str = "x@example.com", **values: object) -> None:
    door = {"key": "http", "login": "panel"}.get(reason.answer.code.partition("_")[0], "smtp")
    gateway.refuse(Refused(reason, **values), Peer(door, ip, "curl/8"), name=name)


def written(gateway: Gateway) -> None:
    gateway.ledger.submit(lambda session: None).result(10)


def listed(browser: Browser, query: str = "") -> list[str]:
    answer = browser.get(PAGE + query)
    assert answer.status_code == 200
    return rows(answer.get_data(as_text=True))


def guess(gateway: Gateway, ip: str, count: int = 10, name: str = "printer@example.com") -> None:
    """Guess wrong passwords, as the SMTP door has them judged and noted."""
    peer = Peer("smtp", ip, "evil.example")
    for number in range(count):
        with pytest.raises(Refused) as caught:
            gateway.authenticate_smtp(name, f"Wrong-{ip}-{number}", peer)
        gateway.refuse(caught.value, peer, name=name)
    written(gateway)


def test_before_the_first_failed_log_in_the_page_says_what_it_is_for(owner: Browser) -> None:
    answer = owner.get(PAGE)
    assert answer.status_code == 200
    assert "No failed attempts yet" in answer.text


def test_log_ins_at_all_doors_are_listed_and_other_refusals_are_not(owner: Browser, gateway: Gateway) -> None:
    refuse(gateway, Reason.AUTH_FAILED, cause="wrong_password", counted=True)
    refuse(gateway, Reason.KEY_INVALID, name="abcdef", cause="unknown_key")
    refuse(gateway, Reason.LOGIN_FAILED, name="<b>ann</b>\x1b[31m" + "y" * 300, cause="unknown_user")
    refuse(gateway, Reason.SENDER_NOT_ALLOWED, domain="example.com")
    written(gateway)

    found = listed(owner)
    assert len(found) == 3
    assert [next(door for door in ("SMTP", "API", "Panel") if door in row) for row in found] == ["Panel", "API", "SMTP"]
    assert "counts" in found[2]
    assert "counts" not in found[0]
    page = owner.get(PAGE).get_data(as_text=True)
    assert "<b>ann" not in page
    assert "\x1b" not in page
    assert "y" * 200 not in page


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?flt0_door_equals=smtp", 2),
        (f"?flt0_address_equals={ATTACKER}", 2),
        ("?flt0_network_equals=203.0.113.0/24", 3),
        ("?flt0_credential_contains=ANN", 1),
        ("?flt0_why_equals=wrong_password", 1),
        ("?flt0_counted_is=1", 1),
        ("?flt0_counted_is=0", 2),
        (f"?flt0_date_on_or_after={utcnow().date()}", 3),
        (f"?flt0_date_on_or_before={utcnow().date() - timedelta(days=1)}", 0),
        ("?search=203.0.113.10", 1),
        ("?flt0_address_equals=nonsense", 3),
    ],
)
def test_it_is_filtered(owner: Browser, gateway: Gateway, query: str, count: int) -> None:
    refuse(gateway, Reason.AUTH_FAILED, cause="wrong_password", counted=True)
    refuse(gateway, Reason.AUTH_FAILED, cause="disabled", ip="203.0.113.10")
    refuse(gateway, Reason.LOGIN_FAILED, cause="unknown_user", name="ann@example.com")
    written(gateway)

    assert len(listed(owner, query)) == count


def test_it_is_grouped_by_address_network_and_credential(owner: Browser, gateway: Gateway) -> None:
    for host in (1, 2, 3, 3):
        refuse(gateway, Reason.AUTH_FAILED, ip=f"203.0.113.{host}", name=f"u{host}@example.com", counted=host == 3)
    refuse(gateway, Reason.AUTH_FAILED, ip="2001:db8:1:2::3", name="u1@example.com")
    written(gateway)

    def groups(what: str) -> list[list[str]]:
        return [row.split() for row in rows(owner.get(f"{PAGE}by/{what}").get_data(as_text=True))]

    assert groups("address")[0][:4] == ["203.0.113.3", "2", "2", "1"]
    assert groups("network")[0][:4] == ["203.0.113.0/24", "4", "2", "3"]
    assert groups("network")[1][0] == "2001:db8:1::/48"
    assert groups("credential")[0][:4] == ["u1@example.com", "2", "0", "2"]
    assert owner.get(f"{PAGE}by/nonsense").status_code == 404
    assert owner.get(f"{PAGE}by/address?days=x").status_code == 200


def test_what_is_counted_is_said(owner: Browser, gateway: Gateway) -> None:
    make_domain(gateway)
    make_smtp_user(gateway, "away@example.com", allowed="198.51.100.0/24")
    guess(gateway, ATTACKER, 1)
    guess(gateway, ATTACKER, 1)  # the same again
    peer = Peer("smtp", ATTACKER)
    with pytest.raises(Refused) as caught:
        gateway.authenticate_smtp("away@example.com", PASSWORD, peer)
    gateway.refuse(caught.value, peer, name="away@example.com")
    written(gateway)

    with gateway.database.session() as session:
        found = session.execute(select(Refusal.cause, Refusal.counted).order_by(Refusal.at)).all()
    assert [tuple(row) for row in found] == [
        ("unknown_user", True),
        ("unknown_user", False),
        ("address_not_allowed", False),
    ]


def test_a_locked_address_and_its_pair_are_shown_and_unlocked(
    logged_in: Callable[[str], Browser], gateway: Gateway
) -> None:
    make_domain(gateway)
    make_smtp_user(gateway)
    guess(gateway, ATTACKER)
    manager = logged_in("manager")
    page = manager.get("/admin/locks/").get_data(as_text=True)
    held = rows(page)
    assert len(held) == 2
    assert all("10" in row and "Unlock" in row for row in held)
    address = next(row for row in held if "Address" in row)
    assert "printer@example.com × 10" in address

    for number in re.findall(r'name="id" value="(\d+)"', page):
        assert manager.post("/admin/locks/unlock", {"id": number}).status_code == 303
    assert "Nothing is locked" in manager.get("/admin/locks/").get_data(as_text=True)
    assert gateway.authenticate_smtp("printer@example.com", PASSWORD, Peer("smtp", ATTACKER))
    with gateway.database.session() as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.action == "unlock")).all()
        assert {entry.label for entry in entries} == {ATTACKER, f"printer@example.com from {ATTACKER}"}
        assert {entry.changes["failures"] for entry in entries} == {10}


def test_a_viewer_sees_locks_without_a_button(logged_in: Callable[[str], Browser], gateway: Gateway) -> None:
    guess(gateway, ATTACKER)
    page = logged_in("viewer").get("/admin/locks/").get_data(as_text=True)
    assert len(rows(page)) == 2
    assert "/unlock" not in page


def test_the_bell_and_the_hooks_hear_of_a_lock(owner: Browser, gateway: Gateway) -> None:
    from webapp.core.models import Alert
    from webapp.core.services import events

    domain_id = make_domain(gateway)
    make_smtp_user(gateway)
    guess(gateway, ATTACKER)
    guess(gateway, "203.0.113.10", name="nobody@example.com")

    with gateway.database.session() as session:
        told = events.latest(session, domain_id, limit=5, names=["credential_locked"])
        alerts = session.scalars(select(Alert).order_by(Alert.id)).all()
    assert [(event["credential_name"], event["ip"]) for event in told] == [("printer@example.com", ATTACKER)]
    assert [alert.domain_id for alert in alerts] == [domain_id, None]
    assert alerts[0].text == (
        f"The SMTP user printer@example.com is locked out at {ATTACKER} for 5 minutes after 10 failed log-ins."
    )
    assert alerts[1].text == "The address 203.0.113.10 is locked out for 5 minutes after 10 failed log-ins."


def test_the_worker_is_asked_for_names_once_and_pages_show_them(owner: Browser, gateway: Gateway) -> None:
    refuse(gateway, Reason.AUTH_FAILED)
    written(gateway)
    listed(owner)
    listed(owner)
    written(gateway)
    with gateway.database.session() as session:
        assert reverse_names.wanted(session) == [ATTACKER]
        reverse_names.learn(session, ATTACKER, "<i>evil</i>\n.example.net", utcnow())
    page = owner.get(PAGE).get_data(as_text=True)
    assert "&lt;i&gt;evil&lt;/i&gt;\\n.example.net" in page
    written(gateway)
    with gateway.database.session() as session:
        assert reverse_names.wanted(session) == []
        session.scalars(select(ReverseName)).one().found_at = utcnow() - timedelta(days=2)
    listed(owner)
    written(gateway)
    with gateway.database.session() as session:
        assert reverse_names.wanted(session) == [ATTACKER]
