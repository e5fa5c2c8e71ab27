"""Notices of failure, read back by the standard library's reader."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.core.rules.failure_notice import (
    FailedRecipient,
    FailureNotice,
    compose_failure_notice,
    typed_address,
)

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
REFUSED = FailedRecipient(
    "ann@example.org", "5.1.1 No such user", 550, "5.1.1 No such user", host="mx.example.org", tried_at=NOW
)


def made(*recipients: FailedRecipient, **values: Any) -> bytes:
    notice = FailureNotice(
        **{
            "to": "shop@example.com",
            "hostname": "mail.postlatch.test",
            "recipients": recipients or (REFUSED,),
            "subject": "Your order",
            "message_id": "<1@example.com>",
            "accepted_at": NOW,
            "head": b"Subject: Your order\r\nFrom: shop@example.com\r\n\r\nSecret body\r\n",
        }
        | values
    )
    source = compose_failure_notice(notice, new_message_id="<2@mail.postlatch.test>", now=NOW)
    assert source.count(b"\r\n") == source.count(b"\r") == source.count(b"\n")
    assert max(map(len, source.split(b"\r\n"))) <= 998
    return source


def read(source: bytes) -> EmailMessage:
    message = email.message_from_bytes(source, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def test_it_is_a_report_as_the_standards_have_it() -> None:
    message = read(made())

    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert (message["From"], message["To"]) == (
        "Mail delivery <MAILER-DAEMON@mail.postlatch.test>",
        "shop@example.com",
    )
    assert message["Auto-Submitted"] == "auto-replied"
    assert (message["Subject"], message["In-Reply-To"]) == ("Not delivered: Your order", "<1@example.com>")
    people, status, original = message.iter_parts()
    assert "ann@example.org" in people.get_content()
    assert "550 5.1.1 No such user" in people.get_content()
    about_all, about_ann = status.get_payload()
    assert about_all["Reporting-MTA"] == "dns; mail.postlatch.test"
    assert dict(about_ann.items()) == {
        "Final-Recipient": "rfc822; ann@example.org",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.org",
        "Diagnostic-Code": "smtp; 550 5.1.1 No such user",
        "Last-Attempt-Date": "Wed, 25 Nov 2026 12:00:00 +0000",
    }
    assert original.get_content_type() == "text/rfc822-headers"
    assert original.get_payload() == "Subject: Your order\r\nFrom: shop@example.com\r\n"


@pytest.mark.parametrize(
    ("one", "status"),
    [
        (FailedRecipient("a@b.org", "Gave up after 5 days; the last answer was: later", 451, "later"), "4.4.7"),
        (FailedRecipient("a@b.org", "Not sent: the address is suppressed."), "5.0.0"),
        (FailedRecipient("a@b.org", "no", 550, "no"), "5.0.0"),
    ],
)
def test_what_has_no_enhanced_code_gets_one(one: FailedRecipient, status: str) -> None:
    _, report, _ = read(made(one)).iter_parts()
    assert report.get_payload()[1]["Status"] == status


def test_addresses_outside_ascii_are_escaped_in_the_report() -> None:
    source = made(FailedRecipient("jürgen@example.org", "x"), FailedRecipient("bob@example.org", "x"))

    assert source.isascii()
    _, report, _ = read(source).iter_parts()
    found = [block["Final-Recipient"] for block in report.get_payload()[1:]]
    assert found == [r"utf-8; j\x{FC}rgen@example.org", "rfc822; bob@example.org"]


def test_only_a_sender_outside_ascii_puts_such_characters_into_the_headers() -> None:
    source = made(to="jürgen@example.com", subject="Grüße")

    assert read(source)["Subject"] == "Not delivered: Grüße"
    assert "To: <jürgen@example.com>".encode() in source
    assert source.partition(b"\r\n\r\n")[2].isascii()


def test_headers_outside_ascii_go_along() -> None:
    source = made(head="Subject: Grüße\r\n\r\nbody".encode())
    assert b"Content-Type: message/global-headers\r\nContent-Transfer-Encoding: base64" in source


def test_without_the_original_there_are_two_parts() -> None:
    assert len(list(read(made(head=None)).iter_parts())) == 2


@given(st.text(max_size=300), st.text(max_size=60), st.text(max_size=60), st.binary(max_size=300))
def test_whatever_servers_and_clients_said_it_stays_a_report(answer: str, subject: str, id_: str, head: bytes) -> None:
    one = FailedRecipient("ann@example.org", answer, 550, answer, host=answer[:20], tried_at=NOW)
    message = read(made(one, subject=subject, message_id=id_, head=head))

    parts = list(message.iter_parts())
    assert len(parts) == (3 if head else 2)
    assert parts[1].get_payload()[1]["Action"] == "failed"
    assert message["Auto-Submitted"] == "auto-replied"


@given(st.text(st.characters(blacklist_categories=("Cs",)), min_size=1))
def test_a_typed_address_is_one_line_of_ascii(address: str) -> None:
    typed = typed_address(address)
    if not address.isascii():
        assert typed.isascii()
        assert typed.isprintable()
