"""What is judged about a message, and what of it is stored."""

from __future__ import annotations

import email
import email.policy
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.core.rules.message import Prepared, prepare
from webapp.core.rules.refusals import Reason, Refused

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
RECEIVED = "from printer (192.0.2.1) by mail.example.net with ESMTPSA id msg_1; Fri, 01 May 2026 12:00:00 +0000"

ATOMS = [
    b"From", b"from", b":", b" ", b"\t", b"\r\n", b"\n", b"\r", b"\0", b"shop@example.com", b"x@evil.example", b"<",
    b'"', b"\\", b"(", b")", b",", b"Sender", b"Bcc", b"Subject", b"=?utf-8?q?", b"?=", b"\xff", b"X-Postlatch-Tag",
    b"\r\n\r\n", b"Date", b"Message-ID", b"\x0b", b">",
]  # fmt: skip


def run(source: bytes, *, smtputf8: bool = False) -> Prepared:
    return prepare(
        source,
        domain="example.com",
        received=RECEIVED,
        message_id_host="example.com",
        now=NOW,
        new_id="msg_1",
        smtputf8=smtputf8,
    )


def reason(source: bytes) -> Reason:
    with pytest.raises(Refused) as caught:
        run(source)
    return caught.value.reason


@pytest.mark.parametrize(
    "value",
    [
        b"shop@example.com",
        b"Shop <shop@example.com>",
        b"SHOP@EXAMPLE.COM",
        b'"Shop, Ltd." <shop@example.com>',
        b'"a <b@evil.example>" <shop@example.com>',
        b"shop@example.com <shop@example.com>",
        b"Shop\r\n <shop@example.com>",
        b"shop@example.com (the (nested) shop)",
        b"=?utf-8?q?M=C3=BCller?= <shop@example.com>",
        "Müller <shop@example.com>".encode(),
        b"M\xfcller <shop@example.com>",
    ],
)
def test_from_headers_that_are_one_address_of_ours(value: bytes) -> None:
    prepared = run(b"From: " + value + b"\r\nSubject: x\r\n\r\nHello\r\n")

    assert prepared.from_email.lower() == "shop@example.com"
    assert b"From: " + value + b"\r\n" in prepared.source


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"From: \r\n",
        b"From: ceo@evil.example\r\n",
        b"From: shop@sub.example.com\r\n",
        b"From: shop@example.com.evil.example\r\n",
        b"From: shop@example.com, ceo@evil.example\r\n",
        b"From: shop@example.com\r\nFrom: ceo@evil.example\r\n",
        b"From: shop@example.com\r\nfROM : ceo@evil.example\r\n",
        b"From: shop@example.com\rFrom: ceo@evil.example\r\n",
        b"From: shop@example.com\nFrom: ceo@evil.example\r\n",
        b"From: ceo@evil.example <shop@example.com> <ceo@evil.example>\r\n",
        b"From: <shop@example.com> ceo@evil.example\r\n",
        b"From: Doe, John <shop@example.com>\r\n",
        b"From: team: shop@example.com;\r\n",
        b"From: <@evil.example:shop@example.com>\r\n",
        b"From: ceo@evil.example (<shop@example.com>)\r\n",
        b'From: "unended <shop@example.com>\r\n',
        b"From: (unended shop@example.com\r\n",
        b"From: shop@example.com\r\n ceo@evil.example\r\n",
        b"From: shop@[127.0.0.1]\r\n",
        b"From: ceo@evil.example <shop@example.com>\r\n",
        b"From: shop@exam(x)ple.com\r\n",
        b"From: =?utf-8?q?ceo=40evil.example?=@example.com\r\n",
        b"From: sh\xf6p@example.com\r\n",
        b"From : shop@example.com\r\nFROM:\r\n ceo@evil.example\r\n",
    ],
)
def test_from_headers_that_are_not(header: bytes) -> None:
    assert reason(header + b"Subject: x\r\n\r\nHello\r\n") is Reason.FROM_NOT_ALLOWED


def test_an_address_in_the_body_is_no_from_header() -> None:
    assert reason(b"Subject: x\r\n\r\nFrom: shop@example.com\r\n") is Reason.FROM_NOT_ALLOWED
    assert reason(b"not a header\r\nFrom: shop@example.com\r\n\r\nHello\r\n") is Reason.FROM_NOT_ALLOWED
    assert reason(b"\r\nFrom: shop@example.com\r\n\r\n") is Reason.FROM_NOT_ALLOWED


@pytest.mark.parametrize("name", [b"Sender", b"Resent-From", b"Resent-Sender", b"sENDER"])
def test_other_identities_must_be_ours_too(name: bytes) -> None:
    head = b"From: shop@example.com\r\n"

    assert reason(head + name + b": ceo@evil.example\r\n\r\nx\r\n") is Reason.HEADER_NOT_ALLOWED
    assert reason(head + name + b": a@example.com, ceo@evil.example\r\n\r\nx\r\n") is Reason.HEADER_NOT_ALLOWED
    assert run(head + name + b": Other <other@example.com>\r\n\r\nx\r\n")


def test_blind_copies_and_our_own_headers_never_leave() -> None:
    prepared = run(
        b"From: shop@example.com\r\nBcc: a@x.example,\r\n b@x.example\r\nBCC : c@x.example\r\n"
        b"Resent-Bcc: d@x.example\r\n"
        b"Return-Path: <e@x.example>\r\nX-Postlatch-Tag: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
        b'X-Postlatch-Metadata: {"order": 7}\r\nX-Postlatch-Send-At: 2026-05-02T12:00:00Z\r\n'
        b"X-Postlatch-Idempotency-Key: k\r\nTo: f@x.example\r\n\r\nBcc: this is text\r\n"
    )

    head, _, body = prepared.source.partition(b"\r\n\r\n")
    assert b"f@x.example" in head
    for gone in (b"bcc", b"a@x", b"b@x", b"c@x", b"d@x", b"e@x", b"postlatch"):
        assert gone not in head.lower()
    assert body == b"Bcc: this is text\r\n"
    assert prepared.controls.tag == "Grüße"
    assert prepared.controls.metadata == {"order": "7"}
    assert prepared.controls.send_at == NOW + timedelta(days=1)
    assert prepared.controls.idempotency_key == "k"


def test_date_and_message_id_are_added_only_where_missing() -> None:
    bare = run(b"From: shop@example.com\r\n\r\nx")
    full = run(b"From: shop@example.com\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-Id: <a@b>\r\n\r\nx")

    parsed = email.message_from_bytes(bare.source, policy=email.policy.default)
    assert parsed["date"].datetime == NOW
    assert parsed["message-id"] == "<msg_1@example.com>"
    assert (full.message_id, full.source.lower().count(b"message-id:"), full.source.count(b"Date:")) == ("<a@b>", 1, 1)


@pytest.mark.parametrize("empty", [b"", b" ", b"\t\r\n "])
def test_an_empty_date_or_message_id_is_as_good_as_missing(empty: bytes) -> None:
    prepared = run(b"From: shop@example.com\r\nMessage-ID:" + empty + b"\r\nDate:" + empty + b"\r\n\r\nx")

    parsed = email.message_from_bytes(prepared.source)
    assert parsed.get_all("message-id") == ["<msg_1@example.com>"] == [prepared.message_id]
    assert len(parsed.get_all("date", [])) == 1


def test_metadata_in_a_header_may_be_as_long_as_in_a_field() -> None:
    metadata = {f"{n:02}": "ü" * 1000 for n in range(10)}
    folded = json.dumps(metadata).replace(", ", ",\r\n ").encode()
    prepared = run(b"From: shop@example.com\r\nX-Postlatch-Metadata: " + folded + b"\r\n\r\nx")

    assert prepared.controls.metadata == metadata


def test_controls_that_are_wrong_or_doubled() -> None:
    head = b"From: shop@example.com\r\n"
    assert reason(head + b"X-Postlatch-Tag: a\r\nX-POSTLATCH-TAG: b\r\n\r\n") is Reason.CONTENT_INVALID
    assert reason(head + b"X-Postlatch-Metadata: [1]\r\n\r\n") is Reason.INVALID_FIELD
    assert reason(head + b"X-Postlatch-Send-At: tomorrow\r\n\r\n") is Reason.INVALID_FIELD
    assert reason(head + b"X-Postlatch-Tag: " + b"x" * 101 + b"\r\n\r\n") is Reason.INVALID_FIELD
    assert run(head + b"X-Postlatch-Tag:\r\n\r\n").controls.tag is None


def test_the_body_arrives_untouched() -> None:
    body = b"line\r\n.\r\n..two\r\n\t\xe4\xf6 " + b"x" * 2000 + b"\r\n\r\n\r\n"
    prepared = run(b"From: shop@example.com\r\n\r\n" + body)

    assert prepared.source.endswith(b"\r\n\r\n" + body)
    assert prepared.eight_bit
    assert not prepared.utf8_headers


def test_bare_line_ends_and_nul_become_plain_lines() -> None:
    prepared = run(b"From: shop@example.com\nSubject: a\r\n\nx\r.\r\n.\ny\0z")

    assert prepared.source.endswith(b"Subject: a\r\n\r\nx\r\n.\r\n.\r\nyz\r\n")


def test_fifty_servers_are_a_way_and_fifty_one_a_loop() -> None:
    def passed(times: int) -> bytes:
        return b"Received: by x\r\n" * times + b"From: shop@example.com\r\n\r\nx\r\n"

    assert run(passed(50))
    assert reason(passed(51)) is Reason.LOOP


def test_a_line_that_is_no_header_starts_the_body() -> None:
    prepared = run(b"From: shop@example.com\r\nHello there\r\nBcc: not a header\r\n\r\nmore\r\n")

    head, _, body = prepared.source.partition(b"\r\n\r\n")
    assert b"Hello" not in head
    assert body == b"Hello there\r\nBcc: not a header\r\n\r\nmore\r\n"


def test_an_endless_header_is_refused() -> None:
    endless = b"From: shop@example.com\r\nX: " + b"y" * 300_000 + b"\r\n\r\n"
    assert reason(endless) is Reason.CONTENT_INVALID


def test_the_subject_is_read_for_people() -> None:
    prepared = run(b"From: a@example.com\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\n =?utf-8?q?_an_alle?=\r\n\r\n")
    assert prepared.subject == "Grüße an alle"


@given(st.lists(st.sampled_from(ATOMS), max_size=14).map(b"".join) | st.binary(max_size=400))
def test_any_octets_are_taken_whole_or_refused(noise: bytes) -> None:
    for source in (noise, b"From: shop@example.com\r\n" + noise, b"From: shop@example.com\r\n\r\n" + noise):
        try:
            prepared = run(source)
        except Refused:
            continue
        stored = prepared.source
        assert b"\0" not in stored
        assert stored.count(b"\r\n") == stored.count(b"\n") == stored.count(b"\r")
        assert prepared.from_email == "shop@example.com"
        parsed = email.message_from_bytes(stored, policy=email.policy.compat32)
        assert len(parsed.get_all("from", [])) == 1
        assert not parsed.get_all("bcc")
        assert parsed.get_all("date")
        assert parsed.get_all("message-id")
