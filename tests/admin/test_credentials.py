"""Credentials: lists, forms, secrets shown once, rotation, bulk actions; and the domain that they belong to."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from sqlalchemy import select

from tests.admin.conftest import Browser
from tests.support.factories import PASSWORD, make_api_key, make_domain, make_smtp_user
from webapp import gateway_of
from webapp.core.models import ApiKeyRow, AuditEntry, CredentialRow, SmtpUser
from webapp.core.rules.refusals import Refused
from webapp.core.rules.submission import Peer
from webapp.core.services.gateway import Gateway

PEER = Peer(door="smtp", ip="192.0.2.10", client="printer")


@pytest.fixture
def gateway(panel_app: Flask) -> Gateway:
    """The panel's services, with one domain."""
    gateway = gateway_of(panel_app)
    make_domain(gateway)
    return gateway


def credential(gateway: Gateway, row_id: int = 1) -> CredentialRow:
    with gateway.database.session() as session:
        row = session.get_one(CredentialRow, row_id)
        _ = row.secrets
        return row


def value_of(page: str, field_id: str) -> str:
    return re.search(rf'id="{field_id}" value="([^"]*)"', page)[1]


def create_user(browser: Browser, path: str = "/admin/smtp-users/new/", **fields: str) -> str:
    browser.get(path)
    data = {"name": "printer@example.com", "password_choice": "generated", "note": "2nd floor", "once": "1"}
    answer = browser.post(path, data | fields)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.get_data(as_text=True)


def test_an_smtp_user_with_a_generated_password_can_log_in(owner: Browser, gateway: Gateway) -> None:
    form = owner.get("/admin/smtp-users/new/").get_data(as_text=True)
    assert "New SMTP user for example.com" in form
    assert 'value="@example.com"' in form
    assert "API key is safer" in form
    assert re.search(r'value="generated"[^>]*checked|checked[^>]*value="generated"', form)
    card = create_user(owner)
    password = value_of(card, "smtp-password")
    assert len(password) == 20
    assert value_of(card, "smtp-username") == "printer@example.com"
    assert gateway.authenticate_smtp("printer@example.com", password, PEER).domain == "example.com"


def test_a_typed_password_must_meet_the_rules(owner: Browser, gateway: Gateway) -> None:
    owner.get("/admin/smtp-users/new/")
    fields = {"name": "scan@example.com", "password_choice": "typed", "once": "2"}
    for password, said in (("", "at least 8"), ("nocapital!", "capital letter"), ("NoSpecial1", "special character")):
        answer = owner.post("/admin/smtp-users/new/", fields | {"password": password})
        assert answer.status_code == 422
        assert said in answer.get_data(as_text=True)
    create_user(owner, name="scan@example.com", password_choice="typed", password=" Tr0mbone-Sky! ")
    assert gateway.authenticate_smtp("scan@example.com", " Tr0mbone-Sky! ", PEER)
    with pytest.raises(Refused):
        gateway.authenticate_smtp("scan@example.com", "Tr0mbone-Sky!", PEER)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "Choose a username"),
        ({"name": "printer"}, "must look like an e-mail address"),
        ({"note": "x" * 501}, "500"),
        ({"expires_at": "2020-01-01T00:00"}, "in the past"),
        ({"expires_at": "tomorrow"}, "Not a valid datetime"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    owner: Browser, gateway: Gateway, fields: dict[str, str], said: str
) -> None:
    owner.get("/admin/smtp-users/new/")
    data = {"name": "printer@example.com", "password_choice": "generated"} | fields
    answer = owner.post("/admin/smtp-users/new/", data)
    assert answer.status_code == 422
    assert said in answer.get_data(as_text=True)


def test_a_username_is_unique_over_all_domains(owner: Browser, gateway: Gateway) -> None:
    make_domain(gateway, "example.net")
    make_smtp_user(gateway)
    owner.get("/admin/smtp-users/new/")
    answer = owner.post(
        "/admin/smtp-users/new/?domain=example.net", {"name": "Printer@example.com", "password_choice": "generated"}
    )
    assert answer.status_code == 422
    assert "There is an SMTP user printer@example.com already" in answer.get_data(as_text=True)


def test_an_api_key_is_shown_once_with_a_command_that_works(owner: Browser, gateway: Gateway) -> None:
    owner.get("/admin/api-keys/new/")
    fields = {"note": "Web shop", "once": "n1"}
    card = owner.post("/admin/api-keys/new/", fields).get_data(as_text=True)
    key = value_of(card, "api-key")
    assert gateway.authenticate_key(key, PEER).domain == "example.com"
    assert f"Authorization: Bearer {key}" in card
    assert "/v1/send" in card
    again = owner.post("/admin/api-keys/new/", fields)  # the browser's reload
    assert again.status_code == 303
    listed = owner.get("/admin/api-keys/").get_data(as_text=True)
    assert "shown only once" in listed
    secret = key.split("_")[2]
    assert secret not in listed
    with gateway.database.session() as session:
        assert len(session.scalars(select(ApiKeyRow)).all()) == 1
        assert all(secret not in str(entry.changes) for entry in session.scalars(select(AuditEntry)))
    assert secret not in owner.client.get_cookie("postlatch_form").value
    assert f"pl_{credential(gateway).name}" in listed


def test_secrets_are_in_no_audit_entry_and_no_cookie(owner: Browser, gateway: Gateway) -> None:
    password = value_of(create_user(owner), "smtp-password")
    owner.get("/admin/smtp-users/rotate/?id=1")
    fields = {"grace": "24", "password_choice": "typed", "password": PASSWORD, "once": "r1"}
    assert owner.post("/admin/smtp-users/rotate/?id=1", fields).status_code == 200
    with gateway.database.session() as session:
        told = " ".join(str(entry.changes) for entry in session.scalars(select(AuditEntry)))
    assert "(secret)" in told
    assert password not in told
    assert PASSWORD not in told


def test_the_chosen_domain_is_in_the_url_and_kept_by_every_link(owner: Browser, gateway: Gateway) -> None:
    make_domain(gateway, "example.net")
    make_smtp_user(gateway, "one@example.com")
    make_smtp_user(gateway, "two@example.net", domain="example.net")
    everything = owner.get("/admin/smtp-users/").get_data(as_text=True)
    assert "one@example.com" in everything
    assert "two@example.net" in everything
    assert 'class="col-domain"' in everything
    page = owner.get("/admin/smtp-users/?domain=example.net").get_data(as_text=True)
    assert "one@example.com" not in page
    assert 'class="col-domain"' not in page
    inside = [
        url.replace("&amp;", "&")
        for url in re.findall(r'(?:href|action|data-modal-url)="(/admin/[^"]+)"', page)
        if "All domains" not in url
    ]
    others = {"/admin/", "/admin/smtp-users/", "/admin/smtp-users/?domain=example.com"}  # the logo and the selector
    assert {url for url in inside if "domain=example.net" not in url} <= others
    assert owner.get("/admin/smtp-users/?domain=nowhere.example").status_code == 404
    form = owner.get("/admin/smtp-users/new/?domain=example.net").get_data(as_text=True)
    assert "New SMTP user for example.net" in form
    assert 'name="domain"' not in form
    create_user(owner, "/admin/smtp-users/new/?domain=example.net", name="three@example.net")
    with gateway.database.session() as session:
        made = session.scalar(select(SmtpUser).where(SmtpUser.name == "three@example.net"))
        assert made.domain.name == "example.net"


def test_all_domains_asks_for_one_when_creating(owner: Browser, gateway: Gateway) -> None:
    second = make_domain(gateway, "example.net")
    form = owner.get("/admin/api-keys/new/").get_data(as_text=True)
    assert "New API key</h1>" in form
    assert 'name="domain"' in form
    assert owner.post("/admin/api-keys/new/", {"note": "x", "once": "a"}).status_code == 422
    assert re.search(r'<option selected value="__None">', form), "none is preselected"
    for wrong in ("999", "__None", ""):
        assert owner.post("/admin/api-keys/new/", {"domain": wrong, "once": "a"}).status_code == 422
    assert owner.post("/admin/api-keys/new/", {"domain": str(second), "once": "a"}).status_code == 200
    assert credential(gateway).domain_id == second


def test_a_row_of_another_domain_is_not_found_under_the_chosen_one(owner: Browser, gateway: Gateway) -> None:
    make_domain(gateway, "example.net")
    row_id = make_smtp_user(gateway)
    assert owner.post(f"/admin/smtp-users/disable/?domain=example.net&id={row_id}").status_code == 404
    assert credential(gateway, row_id).disabled_at is None


def test_with_one_domain_there_is_no_selector(owner: Browser, gateway: Gateway) -> None:
    assert "domain-selector" not in owner.get("/admin/smtp-users/").get_data(as_text=True)
    make_domain(gateway, "example.net")
    assert "domain-selector" in owner.get("/admin/smtp-users/").get_data(as_text=True)


def test_without_a_domain_the_way_leads_to_the_first_one(owner: Browser) -> None:
    page = owner.get("/admin/smtp-users/").get_data(as_text=True)
    assert "Add your first sending domain" in page
    assert owner.get("/admin/smtp-users/new/").headers["Location"] == "/admin/domains/"


def test_search_and_sorting(owner: Browser, gateway: Gateway) -> None:
    make_smtp_user(gateway, "one@example.com")
    make_smtp_user(gateway, "two@example.com")
    page = owner.get("/admin/smtp-users/?search=two").get_data(as_text=True)
    assert "two@example.com" in page
    assert "one@example.com" not in page
    for column in range(8):
        assert owner.get(f"/admin/smtp-users/?sort={column}&desc=1").status_code == 200


def test_last_use_is_shown(owner: Browser, gateway: Gateway) -> None:
    make_smtp_user(gateway)
    gateway.authenticate_smtp("printer@example.com", PASSWORD, PEER)
    gateway.ledger.close()
    assert "from 192.0.2.10" in owner.get("/admin/smtp-users/").get_data(as_text=True)


def test_what_people_type_is_escaped(owner: Browser, gateway: Gateway) -> None:
    make_api_key(gateway, note='"><script>alert(1)</script>')
    for path in ("/admin/api-keys/", "/admin/api-keys/allowed/?id=1", "/admin/api-keys/rotate/?id=1"):
        assert "<script>alert" not in owner.get(path).get_data(as_text=True), path
