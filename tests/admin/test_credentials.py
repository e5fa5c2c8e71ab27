"""Credentials: lists, forms, secrets shown once, rotation, bulk actions; and the domain that they belong to."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from tests.admin.conftest import Browser
from tests.support.factories import PASSWORD, make_api_key, make_domain, make_smtp_user
from webapp import gateway_of
from webapp.core.models import ApiKeyRow, AuditEntry, CredentialRow, CredentialUse, SmtpUser, utcnow
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


def test_rotation_lets_both_work_and_the_list_tells_who_uses_the_old_one(owner: Browser, gateway: Gateway) -> None:
    make_smtp_user(gateway)
    owner.get("/admin/smtp-users/rotate/?id=1")
    fields = {"grace": "168", "password_choice": "generated", "once": "r1"}
    card = owner.post("/admin/smtp-users/rotate/?id=1", fields).get_data(as_text=True)
    new = value_of(card, "smtp-password")
    assert owner.post("/admin/smtp-users/rotate/?id=1", fields).status_code == 303  # a reload rotates nothing
    assert gateway.authenticate_smtp("printer@example.com", new, PEER)
    assert gateway.authenticate_smtp("printer@example.com", PASSWORD, Peer("smtp", "10.0.0.9", "old-printer"))
    gateway.ledger.close()
    page = owner.get("/admin/smtp-users/").get_data(as_text=True)
    assert "Old secret works until" in page
    assert "10.0.0.9" in page
    assert "old-printer" in page
    assert owner.post("/admin/smtp-users/end-grace/?id=1").status_code == 303
    with pytest.raises(Refused):
        gateway.authenticate_smtp("printer@example.com", PASSWORD, PEER)
    with gateway.database.session() as session:
        assert session.scalars(select(CredentialUse.client)).all()


def test_rotation_without_grace_ends_the_old_one_at_once(owner: Browser, gateway: Gateway) -> None:
    _, key = make_api_key(gateway)
    owner.get("/admin/api-keys/rotate/?id=1")
    card = owner.post("/admin/api-keys/rotate/?id=1", {"grace": "0", "once": "r1"}).get_data(as_text=True)
    with pytest.raises(Refused):
        gateway.authenticate_key(key, PEER)
    assert gateway.authenticate_key(value_of(card, "api-key"), PEER)
    assert owner.post("/admin/api-keys/rotate/?id=1", {"grace": "5", "once": "r2"}).status_code == 422


def test_note_and_expiry_are_edited_in_a_dialog(owner: Browser, gateway: Gateway) -> None:
    row_id = make_smtp_user(gateway, expires_at=utcnow() + timedelta(days=90))
    before = credential(gateway, row_id).expires_at
    dialog = owner.get(f"/admin/smtp-users/edit/?id={row_id}&modal=True").get_data(as_text=True)
    assert "<html" not in dialog
    shown = re.search(r'name="expires_at"[^>]*value="([^"]+)"', dialog)[1]
    answer = owner.post(
        f"/admin/smtp-users/edit/?id={row_id}&modal=True",
        {"note": "3rd floor", "expires_at": shown},
        headers={"X-Requested-With": "fetch"},
    )
    assert answer.get_json() == {"reload": True}
    row = credential(gateway, row_id)
    assert (row.note, row.expires_at) == ("3rd floor", before)
    owner.post(f"/admin/smtp-users/edit/?id={row_id}", {"note": "3rd floor", "expires_at": "", "expire_now": "y"})
    assert credential(gateway, row_id).state(utcnow()) == "expired"
    owner.post(f"/admin/smtp-users/edit/?id={row_id}", {"note": "", "expires_at": ""})
    row = credential(gateway, row_id)
    assert (row.note, row.expires_at) == ("", None)


def test_disable_enable_and_delete_one(owner: Browser, gateway: Gateway) -> None:
    _, key = make_api_key(gateway)
    owner.get("/admin/api-keys/")
    owner.post("/admin/api-keys/disable/?id=1")
    assert credential(gateway).disabled_at
    owner.post("/admin/api-keys/enable/?id=1")
    assert gateway.authenticate_key(key, PEER)
    owner.post("/admin/api-keys/delete/", {"id": "1"})
    assert credential(gateway).deleted_at
    assert "was deleted" in owner.get("/admin/api-keys/").get_data(as_text=True)
    for path in ("disable/?id=1", "enable/?id=1", "rotate/?id=1", "allowed/?id=1", "edit/?id=1", "end-grace/?id=1"):
        assert owner.post(f"/admin/api-keys/{path}").status_code == 404, path


def test_bulk_actions_reach_the_chosen_rows_of_this_kind_only(owner: Browser, gateway: Gateway) -> None:
    users = [make_smtp_user(gateway, f"u{n}@example.com") for n in range(3)]
    key_id, _ = make_api_key(gateway)
    owner.get("/admin/smtp-users/")
    for action in ("disable", "enable", "delete"):
        data = {"action": action, "rowid": [str(users[0]), str(users[1]), str(key_id), "nonsense"]}
        assert owner.post("/admin/smtp-users/action/", data).status_code == 302
        rows = [credential(gateway, row_id) for row_id in (*users, key_id)]
        if action == "disable":
            assert [bool(row.disabled_at) for row in rows] == [True, True, False, False]
        elif action == "enable":
            assert [bool(row.disabled_at) for row in rows] == [False] * 4
        else:
            assert [bool(row.deleted_at) for row in rows] == [True, True, False, False]


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


def test_two_managers_at_once_do_not_undo_each_other(logged_in: Callable[[str], Browser], gateway: Gateway) -> None:
    make_smtp_user(gateway)
    first, second = logged_in("manager"), logged_in("owner")
    first.get("/admin/smtp-users/edit/?id=1")
    second.post("/admin/smtp-users/delete/", {"id": "1"})
    assert first.post("/admin/smtp-users/edit/?id=1", {"note": "late"}).status_code == 404
    assert credential(gateway).note == ""


def test_notices_to_senders_can_be_switched_off(gateway: Gateway, owner: Browser) -> None:
    user_id = make_smtp_user(gateway)
    page = owner.get(f"/admin/smtp-users/edit/?id={user_id}").get_data(as_text=True)
    assert re.search(r'<input[^>]*checked[^>]*id="dsn_on_failure"', page), "on unless switched off"
    assert owner.post(f"/admin/smtp-users/edit/?id={user_id}", {"note": ""}).status_code in {302, 303}
    with gateway.database.session() as session:
        assert session.get_one(SmtpUser, user_id).dsn_on_failure is False
        assert {"dsn_on_failure": [True, False]} in [entry.changes for entry in session.scalars(select(AuditEntry))]
