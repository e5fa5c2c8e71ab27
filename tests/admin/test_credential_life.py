"""Credentials after they were made: new secrets, notes, ends."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.admin.conftest import Browser
from tests.admin.test_credentials import PEER, credential, gateway, value_of
from tests.support.factories import PASSWORD, make_api_key, make_smtp_user
from webapp.core.models import AuditEntry, CredentialUse, SmtpUser, utcnow
from webapp.core.rules.refusals import Refused
from webapp.core.rules.submission import Peer
from webapp.core.services.gateway import Gateway

__all__ = ["gateway"]


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
