"""Messages made from an API request's fields, read back by another reader."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.core.rules.addresses import Mailbox
from webapp.core.rules.compose import AttachedFile, Draft, check_header, check_text, compose
from webapp.core.rules.header_fields import decoded, split_header
from webapp.core.rules.refusals import Reason, Refused

SENDER = Mailbox("shop@example.com", "Shop")
PRINTABLE = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), max_size=400)


def made(**fields: Any) -> bytes:
    """The composed message, after checks that hold for every one."""
    source = compose(Draft(**{"sender": SENDER, "to": [Mailbox("ann@example.org")], "text": "Hello"} | fields))
    assert source.count(b"\r\n") == source.count(b"\r") == source.count(b"\n")
    assert max(map(len, source.split(b"\r\n"))) <= 998
    head = source.partition(b"\r\n\r\n")[0]
    assert all(line.strip() for line in head.split(b"\r\n"))
    return source


def read(source: bytes) -> EmailMessage:
    """The message as the standard library's reader has it, without a defect."""
    message = email.message_from_bytes(source, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert not part.defects
    return message


def test_a_plain_message() -> None:
    message = read(
        made(
            to=[Mailbox("ann@example.org", "Ann"), Mailbox("bob@example.org")],
            cc=[Mailbox("c@example.org", 'Doe, "J"')],
            reply_to=[Mailbox("r@example.org")],
            subject="Order 7",
            headers={"X-Order": "7"},
        )
    )

    assert message["From"] == "Shop <shop@example.com>"
    assert message["To"] == "Ann <ann@example.org>, bob@example.org"
    assert [(a.display_name, a.addr_spec) for a in message["Cc"].addresses] == [('Doe, "J"', "c@example.org")]
    assert (message["Reply-To"], message["Subject"], message["X-Order"]) == ("r@example.org", "Order 7", "7")
    assert message.get_content() == "Hello\r\n" or message.get_content() == "Hello\n"


def test_without_visible_recipients() -> None:
    assert read(made(to=[]))["To"] == "undisclosed-recipients:;"


def test_html_brings_its_text_along() -> None:
    message = read(made(text=None, html="<p>Grüße <a href='https://x.example/'>hier</a></p>"))

    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert text.get_content().strip() == "Grüße hier (https://x.example/)"
    assert html.get_content().strip() == "<p>Grüße <a href='https://x.example/'>hier</a></p>"


def test_text_that_is_given_is_kept() -> None:
    body = read(made(text="mine", html="<p>other</p>")).get_body(("plain",))
    assert body is not None
    assert body.get_content().strip() == "mine"


@pytest.mark.parametrize(
    "name", ["a.pdf", "Übergrößenträger Müller.pdf", 'a"b\\c;d.pdf', "文" * 80 + ".pdf", "x" * 250]
)
def test_attachments_arrive_octet_for_octet(name: str) -> None:
    content = bytes(range(256)) * 20
    message = read(made(html="<p>x</p>", attachments=[AttachedFile(name, content, "application/pdf")]))

    (attached,) = message.iter_attachments()
    assert attached.get_filename() == name
    assert attached.get_content_type() == "application/pdf"
    assert attached.get_content() == content
    assert [part.get_content_type() for part in message.walk()][:2] == ["multipart/mixed", "multipart/alternative"]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (AttachedFile("a.png", b"x"), "image/png"),
        (AttachedFile("a", b"x"), "application/octet-stream"),
        (AttachedFile("a.eml", b"From: x\n\ny", "message/rfc822"), "application/octet-stream"),
        (AttachedFile("a", b"x", "multipart/mixed; boundary=x"), "application/octet-stream"),
        (AttachedFile("a", b"x", "text/plain; charset=latin-1"), "text/plain"),
        (AttachedFile("a", b"x", "nonsense\r\nX: y"), "application/octet-stream"),
    ],
)
def test_types_of_attachments(file: AttachedFile, expected: str) -> None:
    (attached,) = read(made(attachments=[file])).iter_attachments()
    assert attached.get_content_type() == expected
    assert attached.get_payload(decode=True) == file.content


@pytest.mark.parametrize("text", ["x" * 5000, "ü" * 5000, "a\rb\nc\r\nd", "a\x0bb\x0cc\u2028d", ".\n..\nFrom x\n", ""])
def test_text_arrives_as_it_was(text: str) -> None:
    source = made(text=text)

    assert source.isascii()  # no server on the way has to convert it
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    assert read(source).get_content().replace("\r\n", "\n").rstrip("\n") == lines.rstrip("\n")


@pytest.mark.parametrize(
    "value",
    ["x" * 998, "y " * 499, "a" + " " * 300 + "b", "\t \t", "  x  ", "Grüße " * 160, "😀" * 200, "=?utf-8?q?x?= y", ""],
)
def test_a_subject_of_any_kind(value: str) -> None:
    fields, _ = split_header(made(subject=value))
    (subject,) = (field for field in fields if field.name == "subject")
    assert subject.text == value.strip()


def test_a_long_token_stays_whole() -> None:
    link = "<https://x.example/" + "u" * 400 + ">"
    assert link.encode() in made(headers={"List-Unsubscribe": link + ", <mailto:u@x.example>"})


@pytest.mark.parametrize(
    "name", ["Müller", "Doe, J", 'a "b" \\c', "x" * 998, "ü " * 400, "=?utf-8?q?x?=", "a@b.c", "(c)", "<x@y.z>", "a\tb"]
)
def test_a_display_name_of_any_kind(name: str) -> None:
    source = made(to=[Mailbox("ann@example.org", name)])

    assert [address.addr_spec for address in read(source)["To"].addresses] == ["ann@example.org"]
    fields, _ = split_header(source)
    shown = next(field.value for field in fields if field.name == "to").removesuffix(" <ann@example.org>")
    if shown.startswith('"'):
        shown = shown[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    assert decoded(shown) == name.replace("\t", " ").strip()


def test_an_address_outside_ascii_stays_as_it_is() -> None:
    assert "To: jörg@example.org\r\n".encode() in made(to=[Mailbox("jörg@example.org")])


@pytest.mark.parametrize(
    "name",
    [
        "From", "sender", "TO", "Cc", "Bcc", "Reply-To", "Return-Path", "Received", "DKIM-Signature", "Message-ID",
        "MIME-Version", "Content-Type", "content-x", "Resent-From", "Resent-Date", "Subject", "X-Postlatch-Tag",
        "", "X Y", "X:", "Ü", "X\r\nBcc", "x" * 77,
    ],
)  # fmt: skip
def test_headers_that_may_not_be_set(name: str) -> None:
    with pytest.raises(Refused) as caught:
        check_header(name, "x")
    assert (caught.value.reason, caught.value.field) == (Reason.INVALID_FIELD, "headers")
    with pytest.raises(Refused):
        made(headers={name: "x"})


@pytest.mark.parametrize("name", ["X-Order", "List-Unsubscribe", "In-Reply-To", "References", "Toast", "X-From"])
def test_headers_that_may(name: str) -> None:
    check_header(name, "a\tb ü")


@pytest.mark.parametrize(
    "bad", ["\r", "\n", "\0", "\x0b", "\x1f", "\x7f", "\x80", "\x9f", "\u2028", "\u2029", "\ud800"]
)
def test_control_characters_are_refused_wherever_they_hide(bad: str) -> None:
    with pytest.raises(Refused):
        check_text("subject", f"a{bad}b")
    for fields in (
        {"subject": bad},
        {"headers": {"X-A": bad}},
        {"to": [Mailbox("a@x.org", bad)]},
        {"cc": [Mailbox("a@x.org", bad)]},
        {"reply_to": [Mailbox("a@x.org", bad)]},
        {"sender": Mailbox("shop@example.com", bad)},
        {"attachments": [AttachedFile(bad, b"x")]},
    ):
        with pytest.raises(Refused):
            made(**fields)


@pytest.mark.parametrize("name", ["text", "html"])
def test_text_that_no_message_can_hold(name: str) -> None:
    for bad in ("\ud800", "\0"):
        with pytest.raises(Refused) as caught:
            made(**{name: bad})
        assert caught.value.field == name


@given(PRINTABLE, PRINTABLE)
def test_whatever_is_written_is_read_back(value: str, name: str) -> None:
    fields, _ = split_header(made(subject=value, to=[Mailbox("ann@example.org", name)]))

    by_name = {field.name: field for field in fields}
    assert by_name["subject"].text == decoded(value.strip(" \t"))
    assert by_name["to"].value.endswith("ann@example.org>" if name else "ann@example.org")
    assert set(by_name) >= {"from", "to", "subject", "content-type", "content-transfer-encoding"}
