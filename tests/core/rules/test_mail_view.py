"""Messages of every kind, taken apart for the page that shows them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.core.rules.mail_view import LARGEST_PICTURE, LONGEST_TEXT, MOST_PARTS, attachment, view_mail


def multipart(*parts: bytes, kind: bytes = b"mixed") -> bytes:
    head = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nContent-Type: multipart/%s; boundary=x\r\n\r\n" % kind
    return head + b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"


TEXT = (
    b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n"
)
HTML = b"Content-Type: text/html; charset=utf-8\r\n\r\n<p>Gr\xc3\xbc\xc3\x9fe</p>\r\n"


def test_text_html_and_headers() -> None:
    view = view_mail(multipart(TEXT, HTML, kind=b"alternative"))
    assert (view.text, view.html) == ("Grüße\r\n", "<p>Grüße</p>\r\n")
    assert ("Subject", "Grüße") in view.headers
    assert not view.attachments
    assert view.problem is None


def test_attachments_have_their_names_and_octets() -> None:
    content = bytes(range(256))
    source = multipart(
        TEXT,
        b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment; filename*=utf-8''R%C3%A9sum%C3%A9.pdf\r\n\r\n" + base64.encodebytes(content),
        b'Content-Type: text/plain; name="=?utf-8?q?Z=C3=BCrich.txt?="\r\n\r\nhello',
        b'Content-Type: text/html\r\nContent-Disposition: attachment; filename="../../etc/passwd"\r\n\r\n<script>',
        b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nhello",
        b"Content-Type: application/x-nameless\r\n\r\nx",
    )
    view = view_mail(source)
    assert [a.filename for a in view.attachments] == ["Résumé.pdf", "Zürich.txt", "passwd", "message.eml", "part-6"]
    assert (view.text, view.html) == ("Grüße\r\n", None)
    found = attachment(source, view.attachments[0].number)
    assert found is not None
    assert found[1] == content
    assert view.attachments[0].size == len(content)
    inner = attachment(source, view.attachments[3].number)
    assert inner is not None
    assert b"Subject: inner" in inner[1]
    assert attachment(source, 0) is None, "the text is no attachment"
    assert attachment(source, 99) is None


def test_pictures_that_the_html_refers_to() -> None:
    gif = b"GIF89a"
    picture = b"Content-Type: image/gif\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    svg = b"Content-Type: image/svg+xml\r\nContent-ID: <svg@x>\r\n\r\n<svg onload=alert(1)>"
    large = b"Content-Type: image/png\r\nContent-ID: <large@x>\r\n\r\n" + b"x" * (LARGEST_PICTURE + 1)
    view = view_mail(multipart(HTML, picture + base64.encodebytes(gif), svg, large, kind=b"related"))
    assert view.pictures == {"logo@x": "data:image/gif;base64," + base64.b64encode(gif).decode()}
    assert [a.inline for a in view.attachments] == [True, True, True]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (b"", ""),
        (b"\r\n", ""),
        (b"no header at all\r\n", "no header at all\r\n"),
        (b"Content-Type: text/plain; charset=nonsense\r\n\r\nGr\xc3\xbc\xc3\x9fe", "Grüße"),
        (b"Content-Type: text/plain; charset=punycode\r\n\r\nabc-def", "abc-def"),
        (b"Content-Type: text/plain; charset=base64\r\n\r\nYWJj", "YWJj"),
        (b"Content-Type: text/plain\r\n\r\nGr\xfc\xdfe", "Gr\ufffd\ufffde"),
        (b"Content-Type: text/plain; charset=us-ascii\r\n\r\n\xff", "\ufffd"),
        (b"Content-Transfer-Encoding: base64\r\n\r\n!!!not base64", None),
        (b"Content-Type: ;;;\r\n\r\nhello", "hello"),
        (b"Content-Type: text/plain; charset*=a'b'%ff%00; charset=\xff\r\n\r\nhello", "hello"),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary", None),
        (b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nnever ends", "never ends"),
        (b"\xff\xfe: \xff\r\n\r\nhello", None),
    ],
)
def test_broken_messages_are_shown_as_far_as_they_can_be(source: bytes, text: str | None) -> None:
    view = view_mail(source)
    if text is not None:
        assert view.text == text
    assert view.problem is None


def test_thousands_of_levels_are_a_problem_and_no_crash() -> None:
    levels = b"".join(b"Content-Type: multipart/mixed; boundary=x%d\r\n\r\n--x%d\r\n" % (n, n) for n in range(3000))
    assert view_mail(levels).problem is not None
    assert attachment(levels, 1) is None


def test_many_parts_and_long_texts_are_cut() -> None:
    view = view_mail(multipart(*[b"\r\nx"] * (MOST_PARTS + 50)))
    assert view.problem is not None
    assert str(MOST_PARTS) in view.problem
    assert view_mail(multipart(*[b"\r\n"] * 60_000)).problem is not None
    assert len(view_mail(b"\r\n" + b"x" * (LONGEST_TEXT + 10)).text or "") == LONGEST_TEXT


@given(st.binary(max_size=300))
def test_any_octets_give_a_view(source: bytes) -> None:
    view_mail(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" + source)
    view_mail(source)
    attachment(source, 0)
