"""Creating, changing and deleting credentials and domains: what is refused, and what the audit log says."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.support.factories import PASSWORD, make_api_key, make_domain, make_smtp_user
from webapp.core.models import AuditEntry, CredentialRow, Domain, SmtpUser
from webapp.core.services import credentials, domains
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.errors import ServiceError
from webapp.core.services.gateway import Gateway


def test_a_username_is_unique_over_all_domains_whatever_its_case(gateway: Gateway) -> None:
    make_domain(gateway, "example.com")
    make_domain(gateway, "example.net")
    make_smtp_user(gateway, "Printer@example.com")

    with pytest.raises(ServiceError, match="already") as caught:
        make_smtp_user(gateway, "printer@EXAMPLE.com", domain="example.net")
    assert caught.value.field == "name"


def test_a_deleted_username_is_free_again_and_its_history_stays(gateway: Gateway) -> None:
    make_domain(gateway)
    first = make_smtp_user(gateway)
    with gateway.database.session() as session:
        credentials.delete(session, COMMAND_LINE, session.get_one(CredentialRow, first))
    second = make_smtp_user(gateway)

    with gateway.database.session() as session:
        assert session.get_one(CredentialRow, first).secrets == []
        assert session.get_one(CredentialRow, second).secrets != []


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"username": "printer"}, "name"),
        ({"username": "printer@localhost"}, "name"),
        ({"password": "short!A"}, "password"),
        ({"password": "no-capital"}, "password"),
        ({"allowed": "10.0.0.1\nmy office"}, "allowed_networks"),
    ],
)
def test_wrong_input_is_refused_naming_its_field(gateway: Gateway, values: dict[str, str], field: str) -> None:
    make_domain(gateway)
    with pytest.raises(ServiceError) as caught:
        make_smtp_user(gateway, **values)
    assert caught.value.field == field


def test_the_nonsense_in_a_list_is_named_by_its_line(gateway: Gateway) -> None:
    make_domain(gateway)
    key_id, _ = make_api_key(gateway)
    with gateway.database.session() as session, pytest.raises(ServiceError, match="Line 2: my is not"):
        credentials.set_allowed_networks(
            session, COMMAND_LINE, session.get_one(CredentialRow, key_id), "10.0.0.1\nmy office"
        )


def test_a_domain_with_live_credentials_stays_and_the_message_lists_them(gateway: Gateway) -> None:
    domain_id = make_domain(gateway)
    user_id = make_smtp_user(gateway)
    with gateway.database.session() as session, pytest.raises(ServiceError, match=r"printer@example\.com"):
        domains.delete(session, COMMAND_LINE, session.get_one(Domain, domain_id))

    with gateway.database.session() as session:
        credentials.delete(session, COMMAND_LINE, session.get_one(CredentialRow, user_id))
        domains.delete(session, COMMAND_LINE, session.get_one(Domain, domain_id))
        assert domains.live(session) == []
    assert make_domain(gateway) != domain_id


def test_every_change_is_in_the_audit_log_without_its_secret(gateway: Gateway) -> None:
    make_domain(gateway, vouch=True)
    user_id = make_smtp_user(gateway)
    with gateway.database.session() as session:
        row = session.get_one(CredentialRow, user_id)
        credentials.set_note(session, COMMAND_LINE, row, "  Office   printer ")
        credentials.set_allowed_networks(session, COMMAND_LINE, row, "10.0.0.0/8")
        credentials.set_disabled(session, COMMAND_LINE, row, disabled=True)
        credentials.set_disabled(session, COMMAND_LINE, row, disabled=True)
        secret = credentials.rotate(session, COMMAND_LINE, row)
        credentials.delete(session, COMMAND_LINE, row)

    with gateway.database.session() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [entry.action for entry in entries] == [
        "create", "vouch", "create", "change", "change", "disable", "rotate", "delete",
    ]  # fmt: skip
    assert entries[3].changes == {"note": ["", "Office printer"]}
    told = repr([(entry.label, entry.changes) for entry in entries])
    assert PASSWORD not in told
    assert secret not in told


def test_a_rotation_without_grace_ends_the_old_secret(gateway: Gateway) -> None:
    make_domain(gateway)
    user_id = make_smtp_user(gateway)
    with gateway.database.session() as session:
        row = session.get_one(CredentialRow, user_id)
        credentials.rotate(session, COMMAND_LINE, row, grace=timedelta(0))
        assert len(row.secrets) == 1
        credentials.rotate(session, COMMAND_LINE, row)
        credentials.rotate(session, COMMAND_LINE, row)
        assert len(row.secrets) == 2


def test_find_tells_what_is_missing(gateway: Gateway) -> None:
    with gateway.database.session() as session:
        with pytest.raises(ServiceError, match="no SMTP user"):
            credentials.find(session, SmtpUser, "nobody@example.com")
        with pytest.raises(ServiceError, match="add it first"):
            domains.find(session, "example.com")
