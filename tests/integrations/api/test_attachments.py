"""Attached files, by base64 and as parts."""

from __future__ import annotations

import json
from base64 import b64encode
from io import BytesIO
from typing import Any

import pytest

from .conftest import MAIL, Caller, refused

PDF = bytes(range(256)) * 40
CONTENT = b64encode(PDF).decode()


def files_of(caller: Caller, answer: Any) -> list[tuple[str | None, str, bytes]]:
    return [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in caller.mail(answer).iter_attachments()
    ]


#: What is given beside the content, and the name and type that the file gets.
NAMED = [
    ({"filename": "a.pdf"}, "a.pdf", "application/pdf"),
    ({"filename": "a.pdf", "content_type": "image/png"}, "a.pdf", "image/png"),
    ({"filename": "Größe.pdf", "content_type": "application/pdf; x=y"}, "Größe.pdf", "application/pdf"),
    ({"filename": "../../etc/passwd"}, "passwd", "application/octet-stream"),
    ({"filename": "C:\\docs\\a.txt"}, "a.txt", "text/plain"),
    ({"filename": None}, "attachment", "application/octet-stream"),
    ({}, "attachment", "application/octet-stream"),
    ({"filename": "a.eml", "content_type": "message/rfc822"}, "a.eml", "application/octet-stream"),
    ({"filename": "a", "content_type": "nonsense"}, "a", "application/octet-stream"),
]


def test_a_file_arrives_octet_by_octet(caller: Caller, subtests: pytest.Subtests) -> None:
    for given, name, content_type in NAMED:
        one = {"content": CONTENT, **given}
        for attachments in ([one], one, json.dumps([one]), json.dumps(one), [json.dumps(one)]):
            with subtests.test(attachments=str(attachments)[-80:]):
                assert files_of(caller, caller.send(attachments=attachments)) == [(name, content_type, PDF)]


def test_base64_may_have_line_ends(caller: Caller) -> None:
    folded = "\r\n".join(CONTENT[start : start + 76] for start in range(0, len(CONTENT), 76))
    assert files_of(caller, caller.send(attachments={"filename": "a.bin", "content": folded}))[0][2] == PDF


def test_parts_of_a_multipart_form_whatever_their_names(caller: Caller) -> None:
    for name in ("attachments", "attachments[]", "file", "attachment1", "data"):
        parts = {name: [(BytesIO(PDF), "a.pdf"), (BytesIO(b"note"), "dir/ü.txt", "text/plain")]}
        assert files_of(caller, caller.post(MAIL | parts)) == [
            ("a.pdf", "application/pdf", PDF),
            ("ü.txt", "text/plain", b"note"),
        ]


def test_parts_beside_base64(caller: Caller) -> None:
    one = json.dumps([{"filename": "a.bin", "content": CONTENT}, {"filename": "b.bin", "content": "eA=="}])
    answer = caller.post(MAIL | {"attachments": one, "file": (BytesIO(b"note"), "c.txt")})
    assert [name for name, _, _ in files_of(caller, answer)] == ["a.bin", "b.bin", "c.txt"]


def test_objects_spread_over_a_form(caller: Caller) -> None:
    fields = {
        "attachments[0][filename]": "a.bin",
        "attachments[0][content]": CONTENT,
        "attachments__1__filename": "b.bin",
        "attachments__1__content": "eA==",
    }
    form = caller.post(MAIL | fields, "application/x-www-form-urlencoded")
    assert [name for name, _, _ in files_of(caller, form)] == ["a.bin", "b.bin"]


def test_an_empty_file_input_is_no_file(caller: Caller) -> None:
    assert files_of(caller, caller.post(MAIL | {"file": (BytesIO(b""), "")})) == []


def test_an_empty_file_is_a_file(caller: Caller) -> None:
    assert files_of(caller, caller.post(MAIL | {"file": (BytesIO(b""), "empty.bin")})) == [
        ("empty.bin", "application/octet-stream", b"")
    ]


def test_a_text_that_came_as_a_file_is_refused(caller: Caller) -> None:
    answer = caller.post({**MAIL, "html": (BytesIO(b"<p>x</p>"), "body.html")})
    assert "as a file" in refused(answer, 422, "invalid_field", "html")


WRONG: list[Any] = [
    17,
    "a.pdf",
    [17],
    [[{"content": "eA=="}]],
    [{"filename": "a"}],
    [{"filename": "a", "content": ""}],
    [{"filename": "a", "content": 17}],
    [{"filename": "a", "content": "not base64!"}],
    [{"filename": "a", "content": "eA"}],
    [{"filename": "a", "content": "é==="}],
    [{"filename": 17, "content": "eA=="}],
    [{"filename": "a" * 300, "content": "eA=="}],
    [{"filename": "a", "content": "eA==", "type": "text/plain"}],
    [{"filename": "a", "content": "eA==", "content_type": "text/plain\r\nX-Evil: 1"}],
    [{"filename": "a", "content": "eA=="}] * 201,
]


def test_wrong_attachments_are_refused(caller: Caller, subtests: pytest.Subtests) -> None:
    for given in WRONG:
        with subtests.test(given=str(given)[:80]):
            refused(caller.send(attachments=given), 422, "invalid_field", "attachments")


def test_a_file_alone_is_a_message(caller: Caller) -> None:
    one = {"filename": "scan.pdf", "content": CONTENT}
    assert files_of(caller, caller.send(text=None, attachments=[one]))[0][0] == "scan.pdf"


def test_twenty_five_megabytes_at_the_border(make_caller) -> None:
    caller = make_caller(max_message_mb=1)
    fits, too_much = b"x" * 740_000, b"x" * 800_000  # base64 and line ends add 37 %
    for content, status in ((fits, 202), (too_much, 413)):
        part = caller.post(MAIL | {"file": (BytesIO(content), "a.bin")})
        whole = caller.send(attachments=[{"filename": "a.bin", "content": b64encode(content).decode()}])
        form = caller.post(
            MAIL | {"attachments[0][content]": b64encode(content).decode()}, "application/x-www-form-urlencoded"
        )
        assert [part.status_code, whole.status_code, form.status_code] == [status] * 3
