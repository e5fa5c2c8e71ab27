"""POST /v1/send: the receipt, the message that is made, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.factories import make_api_key, make_domain
from webapp.core.models import Domain, Message

from .conftest import MAIL, Caller, refused


def test_the_receipt(caller: Caller) -> None:
    answer = caller.send(to=["ann@example.org", "Bob <bob@example.org>"], cc="c@example.org", bcc="ann@example.org")
    assert answer.status_code == 202
    receipt = answer.json
    assert receipt.pop("id").startswith("msg_")
    created = datetime.fromisoformat(receipt.pop("created_at"))
    assert abs(datetime.now(UTC) - created) < timedelta(seconds=30)
    assert receipt == {
        "status": "queued",
        "domain": "example.com",
        "from_email": "shop@example.com",
        "to": ["ann@example.org", "bob@example.org"],
        "to_count": 3,
    }


def test_the_message_with_everything(caller: Caller) -> None:
    answer = caller.send(
        from_='"Shop, The" <shop@example.com>',
        to='Ann <ann@example.org>, "Doe, \\"J\\"" <j@example.org>',
        cc={"email": "carl@example.org", "name": "Çarl"},
        bcc="secret@example.org",
        reply_to="help@elsewhere.org",
        subject="Größe 42 €",
        text="Hello Ännchen",
        html="<p>Hello <b>Ännchen</b></p>",
        headers={"List-Unsubscribe": "<https://example.com/u/" + "x" * 120 + ">", "X-Priority": 1, "X-None": None},
        tag="orders",
        metadata={"order": 7, "vip": True, "note": "ü"},
    )
    mail = caller.mail(answer)
    assert mail["From"].addresses[0].display_name == "Shop, The"
    assert [a.addr_spec for a in mail["To"].addresses] == ["ann@example.org", "j@example.org"]
    assert mail["To"].addresses[1].display_name == 'Doe, "J"'
    assert mail["Cc"].addresses[0].display_name == "Çarl"
    assert mail["Reply-To"] == "help@elsewhere.org"
    assert mail["Subject"] == "Größe 42 €"
    assert mail["List-Unsubscribe"].endswith("x>")
    assert mail["X-Priority"] == "1"
    assert mail["X-None"] is None
    assert mail["Message-ID"].endswith("@example.com>")
    assert mail["Date"]
    assert mail.get_body(("plain",)).get_content().strip() == "Hello Ännchen"
    assert "<b>Ännchen</b>" in mail.get_body(("html",)).get_content()
    assert b"secret@" not in caller.source(answer)
    assert caller.recipients(answer) == [
        "ann@example.org",
        "j@example.org",
        "carl@example.org",
        "secret@example.org",
    ]
    with caller.gateway.database.session() as session:
        stored = session.get_one(Message, answer.json["id"])
        assert stored.tag == "orders"
        assert stored.details == {"order": "7", "vip": "true", "note": "ü"}
        assert (stored.door, stored.client_ip) == ("http", "192.0.2.10")


def test_text_is_derived_from_html(caller: Caller) -> None:
    mail = caller.mail(caller.send(text=None, html="<h1>Hi</h1><p>a <a href='https://x.org'>link</a></p>"))
    text = mail.get_body(("plain",)).get_content()
    assert "Hi" in text
    assert "https://x.org" in text


def test_blind_copies_alone_are_enough_and_stay_blind(caller: Caller) -> None:
    answer = caller.send(to=None, bcc="secret@example.org")
    assert answer.json["to"] == []
    assert answer.json["to_count"] == 1
    assert b"secret@" not in caller.source(answer)


REFUSED = [
    ({"from_": None}, "invalid_field", "from"),
    ({"from_": "shop@example.net"}, "sender_not_allowed", "from"),
    ({"from_": "shop@sub.example.com"}, "sender_not_allowed", "from"),
    ({"from_": "shop@example.com.evil.org"}, "sender_not_allowed", "from"),
    ({"from_": "shop@evil.org <shop@example.com>, x@example.com"}, "invalid_field", "from"),
    ({"from_": ["a@example.com", "b@example.com"]}, "invalid_field", "from"),
    ({"from_": '"a@example.com" <b@example.net>'}, "sender_not_allowed", "from"),
    ({"from_": "a@example.com\r\nSender: x@evil.org"}, "invalid_field", "from"),
    ({"from_": {"email": "a@example.com", "name": "A\nSender: x"}}, "invalid_field", "from"),
    ({"to": None}, "no_recipients", "to"),
    ({"to": " , "}, "no_recipients", "to"),
    ({"text": None}, "invalid_field", "text"),
    ({"subject": "a\r\nBcc: x@example.org"}, "invalid_field", "subject"),
    ({"subject": "a\nb"}, "invalid_field", "subject"),
    ({"subject": "a\x85b"}, "invalid_field", "subject"),
    ({"subject": "x" * 999}, "invalid_field", "subject"),
    ({"tag": "a\nb"}, "invalid_field", "tag"),
    ({"tag": "x" * 101}, "invalid_field", "tag"),
    ({"metadata": "nonsense"}, "invalid_field", "metadata"),
    ({"metadata": {"a": {"b": "c"}}}, "invalid_field", "metadata"),
    ({"metadata": [1, 2]}, "invalid_field", "metadata"),
    ({"send_at": "tomorrow"}, "invalid_field", "send_at"),
    ({"send_at": "2026-01-31T09:00:00"}, "invalid_field", "send_at"),
    ({"send_at": True}, "invalid_field", "send_at"),
    ({"send_at": {"a": 1}}, "invalid_field", "send_at"),
    ({"send_at": 1e300}, "invalid_field", "send_at"),
    ({"idempotency_key": "x" * 257}, "invalid_field", "idempotency_key"),
]


def test_what_is_refused_with_its_field(caller: Caller, subtests: pytest.Subtests) -> None:
    for fields, code, field in REFUSED:
        with subtests.test(fields=fields):
            refused(caller.send(**fields), 422, code, field)


FORBIDDEN = """
    From sender TO Cc Bcc Reply-To Return-Path Received DKIM-Signature Message-ID MIME-Version Content-Type
    content-transfer-encoding Resent-From Resent-Bcc Subject X-Postlatch-Tag A:B Ä
"""


def test_headers_that_may_not_be_set(caller: Caller, subtests: pytest.Subtests) -> None:
    for name in (*FORBIDDEN.split(), "", "A B", "X\r\nBcc", "X" * 77):
        with subtests.test(name=name):
            sentence = refused(caller.send(headers={name: "x"}), 422, "invalid_field", "headers")
            assert name != "Reply-To" or "reply_to" in sentence


def test_no_control_character_gets_into_a_header(caller: Caller, subtests: pytest.Subtests) -> None:
    for character in ("\r", "\n", "\r\n ", "\0", "\x08", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"):
        with subtests.test(character=character):
            _refuse_everywhere(caller, f"a{character}Bcc: x@example.org")
    assert caller.mail(caller.send(headers={"X-Note": "a\tb"}))["X-Note"].split() == ["a", "b"]


def _refuse_everywhere(caller: Caller, evil: str) -> None:
    refused(caller.send(headers={"X-Note": evil}), 422, "invalid_field", "headers")
    refused(caller.send(subject=evil), 422, "invalid_field", "subject")
    refused(caller.send(from_={"email": "a@example.com", "name": evil}), 422, "invalid_field", "from")
    refused(caller.send(headers=json.dumps({"X-Note": evil})), 422, "invalid_field", "headers")
    refused(
        caller.send(attachments=[{"filename": f"{evil}.txt", "content": "eA=="}]), 422, "invalid_field", "attachments"
    )


def test_wrong_headers(caller: Caller) -> None:
    for headers in ([1], "nonsense", {"X-A": ["a"]}, {"X-A": True}, {"X-A": "1", "x-a": "2"}, {"X-A": "é" * 999}):
        refused(caller.send(headers=headers), 422, "invalid_field", "headers")
    refused(caller.send(headers={f"X-{number}": "x" for number in range(101)}), 422, "invalid_field", "headers")


def test_the_future_is_scheduled_and_the_past_is_now(caller: Caller) -> None:
    soon = datetime.now(UTC) + timedelta(days=2)
    for written in (soon.isoformat(), soon.timestamp(), int(soon.timestamp()), str(int(soon.timestamp()))):
        answer = caller.send(send_at=written)
        assert answer.json["status"] == "scheduled"
        shown = caller.get(f"/messages/{answer.json['id']}").json
        assert shown["status"] == "scheduled"
        planned = datetime.fromisoformat(shown["recipients"][0]["next_try_at"])
        assert abs(planned - soon) < timedelta(seconds=2)
    past = datetime.now(UTC) - timedelta(days=400)
    assert caller.send(send_at=past.isoformat()).json["status"] == "queued"
    late = datetime.now(UTC) + timedelta(days=31)
    assert "30 days" in refused(caller.send(send_at=late.isoformat()), 422, "invalid_field", "send_at")


def test_an_unverified_domain_may_send_in_capture_only(make_caller) -> None:
    caller = make_caller(delivery="relay", relay_url="smtp://127.0.0.1:1")
    assert "verified" in refused(caller.send(), 422, "domain_unverified", "from")
    with caller.gateway.database.session() as session:
        session.query(Domain).one().vouched_at = datetime.now(UTC)
    assert caller.send().status_code == 202


def test_a_key_of_another_domain_may_not_use_this_one(caller: Caller) -> None:
    make_domain(caller.gateway, "example.net")
    other = Caller(caller.app, make_api_key(caller.gateway, domain="example.net")[1])
    assert "example.net" in refused(other.send(), 422, "sender_not_allowed", "from")
    assert other.send(from_="shop@example.net").status_code == 202


def test_an_internationalised_sending_domain(caller: Caller) -> None:
    make_domain(caller.gateway, "bücher.example")
    other = Caller(caller.app, make_api_key(caller.gateway, domain="bücher.example")[1])
    assert other.send(from_="post@bücher.example").json["from_email"] == "post@xn--bcher-kva.example"


def test_a_key_disabled_while_its_mail_waits_sends_nothing(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    from webapp.core.models import ApiKeyRow

    real = caller.gateway.submit

    def disabled_meanwhile(submission):
        with caller.gateway.database.session() as session:
            session.query(ApiKeyRow).one().disabled_at = datetime.now(UTC)
        return real(submission)

    monkeypatch.setattr(caller.gateway, "submit", disabled_meanwhile)
    refused(caller.send(), 401, "credential_revoked")


def test_a_message_over_the_limit_is_413(make_caller) -> None:
    caller = make_caller(max_message_mb=1)
    assert "1 MB" in refused(caller.send(text="x" * 1_048_576), 413, "too_large")
    assert "1 MB" in refused(caller.send(text="x" * 3_000_000), 413, "too_large")
    assert caller.send(text=("x" * 70 + "\n") * 10_000).status_code == 202


def test_smuggling_stays_in_the_body(caller: Caller) -> None:
    text = "a\r\n.\r\nMAIL FROM:<x@example.com>\r\n\n.\n\r.\rb"
    source = caller.source(caller.send(text=text))
    assert source.count(b"\n") == source.count(b"\r") == source.count(b"\r\n")
    assert b"MAIL FROM" in source


def test_mail_with_the_fewest_fields(caller: Caller) -> None:
    answer = caller.send({"from": MAIL["from"], "to": MAIL["to"], "html": "<p>x</p>"})
    assert caller.mail(answer)["Subject"] == ""
