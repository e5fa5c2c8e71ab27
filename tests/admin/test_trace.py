"""The trace of a refusal: step by step, and the button that mends the step that refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import select, update

from tests.admin.conftest import Browser
from tests.support.browser import PHONE, Visit, on_sqlite
from tests.support.factories import OFFICE, PASSWORD, make_api_key, make_domain, make_smtp_user, submission
from webapp import gateway_of
from webapp.core.models import AuditEntry, BlocklistHit, BlocklistZone, CredentialRow, Domain, Lock, utcnow
from webapp.core.rules.quotas import Limits
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Credential, Peer
from webapp.core.services import quotas
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway

PAGE = "/admin/why/"
NAME = "printer@example.com"


@pytest.fixture
def gateway(panel_app: Flask) -> Gateway:
    """The panel's services, with a printer."""
    gateway = gateway_of(panel_app)
    make_domain(gateway)
    make_smtp_user(gateway, NAME)
    return gateway


def change(gateway: Gateway, **values: object) -> None:
    with gateway.database.session() as session:
        session.execute(update(CredentialRow).values(**values))


def row(gateway: Gateway) -> CredentialRow:
    with gateway.database.session() as session:
        return session.get_one(CredentialRow, 1)


def refused(gateway: Gateway, password: str = PASSWORD, peer: Peer = OFFICE) -> str:
    """Have the printer refused as the SMTP door does; the reference."""
    with pytest.raises(Refused) as caught:
        gateway.authenticate_smtp(NAME, password, peer)
    return note(gateway, caught.value, peer)


def note(gateway: Gateway, error: Refused, peer: Peer = OFFICE, credential: Credential | None = None) -> str:
    gateway.refuse(error, peer, credential=credential, name=NAME)
    gateway.ledger.submit(lambda session: None).result(10)
    return error.reference


def steps(browser: Browser, question: str, credential: str = "") -> dict[str, tuple[str, str]]:
    """Each step's state and text."""
    answer = browser.get(PAGE, query_string={"q": question, "credential": credential})
    assert answer.status_code == 200
    found = re.findall(
        r'data-state="(\w+)">.*?step-title">(.*?)</h3><p class="step-text">(.*?)</p>',
        answer.get_data(as_text=True),
        re.DOTALL,
    )
    return {title: (state, text) for state, title, text in found}


def press(browser: Browser, question: str, action: str, credential: str = "") -> None:
    """Press the button of *action* on the page, as it stands there."""
    page = browser.get(PAGE, query_string={"q": question, "credential": credential}).get_data(as_text=True)
    forms = [form for form in re.findall(r"<form.*?</form>", page, re.DOTALL) if f'value="{action}"' in form]
    assert forms, f"no button for {action}"
    fields = {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', forms[0])}
    answer = browser.post(re.search(r'action="([^"]+)"', forms[0])[1], fields)
    assert answer.headers["Location"].startswith(PAGE)


def test_steps_before_are_passed_and_those_after_not_reached(owner: Browser, gateway: Gateway) -> None:
    change(gateway, allowed_networks=["198.51.100.0/24"])
    found = steps(owner, f"It said 535 5.7.8 … [ref {refused(gateway)}]")
    states = [state for state, _ in found.values()]
    assert states == ["passed"] * 4 + ["refused"] + ["not_reached"] * 4
    assert found["Allowed addresses"][0] == "refused"
    assert "Requests a minute" not in found


def test_an_address_is_allowed(owner: Browser, gateway: Gateway) -> None:
    change(gateway, allowed_networks=["198.51.100.0/24"])
    reference = refused(gateway)
    press(owner, reference, "allow")
    assert row(gateway).allowed_networks == ["198.51.100.0/24", "192.0.2.10/32"]
    assert gateway.authenticate_smtp(NAME, PASSWORD, OFFICE).id == 1
    assert "it would pass this step now" in steps(owner, reference)["Allowed addresses"][1]


def test_a_credential_is_enabled_and_extended(owner: Browser, gateway: Gateway) -> None:
    change(gateway, disabled_at=utcnow())
    press(owner, refused(gateway), "enable")
    assert row(gateway).disabled_at is None
    change(gateway, expires_at=utcnow() - timedelta(days=1))
    press(owner, refused(gateway), "extend")
    expires_at = row(gateway).expires_at
    assert expires_at
    assert timedelta(days=89) < expires_at - utcnow() < timedelta(days=91)
    with gateway.database.session() as session:
        assert {"enable", "change"} <= set(session.scalars(select(AuditEntry.action)))


def test_a_lock_is_ended_whoever_it_is_about(logged_in: Callable[[str], Browser], gateway: Gateway) -> None:
    for number in range(10):
        refused(gateway, f"Wrong-{number}!", Peer("smtp", "203.0.113.9"))
    reference = refused(gateway, peer=Peer("smtp", "203.0.113.9"))
    manager = logged_in("manager")
    state, _ = steps(manager, reference)["Locks after failed log-ins"]
    assert state == "refused"
    with gateway.database.session() as session:
        held = session.scalars(select(Lock).where(Lock.cleared_at.is_(None))).all()
    for _ in held:
        if "it would pass" not in steps(manager, reference)["Locks after failed log-ins"][1]:
            press(manager, reference, "unlock")
    assert gateway.authenticate_smtp(NAME, PASSWORD, Peer("smtp", "203.0.113.9")).id == 1


def test_only_an_owner_vouches(make_panel: Callable[..., Flask]) -> None:
    app = make_panel(delivery="relay", relay_url="smtp://relay.example")
    gateway = gateway_of(app)
    make_domain(gateway)
    make_smtp_user(gateway, NAME)
    printer = gateway.authenticate_smtp(NAME, PASSWORD, OFFICE)
    with pytest.raises(Refused) as caught:
        gateway.check_sender(printer, "shop@example.com")
    reference = note(gateway, caught.value, credential=printer)
    manager, owner = Browser(app), Browser(app)
    manager.log_in("manager@example.com")
    owner.log_in("owner@example.com")
    page = manager.get(PAGE, query_string={"q": reference}).get_data(as_text=True)
    assert "An owner can do this: Vouch for example.com" in page
    assert manager.post(PAGE + "mend", {"action": "vouch", "domain": "1"}).status_code == 403
    press(owner, reference, "vouch")
    with gateway.database.session() as session:
        assert session.get_one(Domain, 1).vouched_by == "owner@example.com"
    assert gateway.check_sender(printer, "shop@example.com")


def test_a_reached_limit_leads_to_where_it_is_set(owner: Browser, gateway: Gateway) -> None:
    printer = gateway.authenticate_smtp(NAME, PASSWORD, OFFICE)
    with gateway.database.session() as session:
        quotas.set_limits(session, COMMAND_LINE, session.get_one(CredentialRow, 1), Limits(1))
    gateway.submit(submission(printer)).result(10)
    reference = note(gateway, gateway.submit(submission(printer)).exception(10), credential=printer)
    assert steps(owner, reference)["Sending limits"][0] == "refused"
    assert "/admin/smtp-users/edit/?id=1" in owner.get(PAGE, query_string={"q": reference}).get_data(as_text=True)


def test_an_address_and_a_credential_are_judged_as_they_stand_now(owner: Browser, gateway: Gateway) -> None:
    change(gateway, allowed_networks=["198.51.100.0/24"])
    with gateway.database.session() as session:
        zone = BlocklistZone(zone="rbl.example", state="on")
        session.add(zone)
        session.flush()
        hit = {"day": utcnow().date(), "refused": True, "count": 1, "last_at": utcnow(), "answers": ["127.0.0.2"]}
        session.add(BlocklistHit(zone_id=zone.id, ip="192.0.2.10", **hit))
    found = steps(owner, "192.0.2.10", "1")
    assert found["Blocklists"] == ("refused", "Listed by rbl.example (127.0.0.2).")
    assert found["Log-in"][0] == "passed"
    assert found["Allowed addresses"][0] == "refused"
    assert found["Sending domain"][0] == "passed"
    assert found["Sending limits"] == ("passed", "No limit is set.")
    press(owner, "192.0.2.10", "exempt", "1")
    press(owner, "192.0.2.10", "allow", "1")
    assert {state for state, _ in steps(owner, "192.0.2.10", "1").values()} == {"passed", "unknown"}
    key_id, _ = make_api_key(gateway)
    assert "Blocklists" not in steps(owner, "192.0.2.10", str(key_id))


def test_a_viewer_presses_nothing(logged_in: Callable[[str], Browser], gateway: Gateway) -> None:
    change(gateway, disabled_at=utcnow())
    viewer = logged_in("viewer")
    page = viewer.get(PAGE, query_string={"q": refused(gateway)}).get_data(as_text=True)
    assert "A manager or an owner can do this: Enable it." in page
    assert viewer.post(PAGE + "mend", {"action": "enable", "credential": "1"}).status_code == 403
    assert row(gateway).disabled_at


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "enable", "credential": "77"},
        {"action": "allow", "credential": "x", "ip": "192.0.2.1"},
        {"action": ""},
        {"action": "delete", "credential": "1"},
    ],
)
def test_what_is_not_there_is_said(owner: Browser, gateway: Gateway, fields: dict[str, str]) -> None:
    owner.get(PAGE)
    assert owner.post(PAGE + "mend", fields).status_code == 303
    assert "alert-danger" in owner.get(PAGE).get_data(as_text=True)


def test_what_is_no_message_has_no_steps(owner: Browser, gateway: Gateway) -> None:
    reference = note(gateway, Refused(Reason.NOT_FOUND), Peer("panel", "192.0.2.1"))
    assert steps(owner, reference) == {}


@pytest.mark.browser
@on_sqlite
@pytest.mark.parametrize("width", [1440, PHONE])
def test_paste_and_mend_in_chromium(
    panel_app: Flask, gateway: Gateway, open_page: Callable[..., Visit], width: int
) -> None:
    change(gateway, allowed_networks=["198.51.100.0/24"])
    reference = refused(gateway)
    visit = open_page(panel_app, "manager", width=width)
    page = visit.goto("/admin/smtp-users/")
    page.wait_for_selector("a:has-text('Refused: address not allowed')")
    visit.goto(PAGE)
    page.fill("[name=q]", f"Delivery failed: 535 5.7.8 Username or password not accepted [ref {reference}] (in reply)")
    page.click("button:has-text('Explain')")
    page.wait_for_selector("[data-state=refused] >> text=Allowed addresses")
    visit.shot(f"trace-{width}")
    assert visit.fits()
    page.click("button:has-text('Allow 192.0.2.10')")
    page.click("#confirm-accept")
    page.wait_for_selector("text=printer@example.com may be used from 192.0.2.10 now")
    assert gateway.authenticate_smtp(NAME, PASSWORD, OFFICE).id == 1
    page.fill("[name=q]", "192.0.2.10")
    page.select_option("[name=credential]", "1")
    page.click("button:has-text('Explain')")
    page.wait_for_selector("text=as it stands now")
    visit.shot(f"present-{width}")
    assert page.locator("[data-state=refused]").count() == 0
