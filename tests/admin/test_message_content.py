"""A message's content in the panel: whatever a stranger wrote, it runs nothing, loads nothing and breaks nothing."""

from __future__ import annotations

import base64

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.admin.conftest import Browser
from tests.admin.mailroom import mail, send
from webapp import gateway_of
from webapp.core.services.deliveries import load_source
from webapp.core.services.gateway import Gateway

TABS = ("rendered", "text", "headers", "source")
HOSTILE = b"""<html><head><base href="https://evil.example/"><meta http-equiv="refresh" content="0;url=https://evil.example/">
<link rel="dns-prefetch" href="//evil.example"><script>alert(1)</script></head>
<body onload="alert(2)" background="https://evil.example/b.png"><img src="https://evil.example/open.gif">
<form action="https://evil.example/"><input name="password"><button>Log in</button></form>
<a href="javascript:alert(3)">x</a><iframe src="https://evil.example/"></iframe><svg onload="alert(4)"></svg>
<p>Still to be read</p></body></html>"""
NESTED = b"".join(
    b"--x%d\r\nContent-Type: multipart/mixed; boundary=x%d\r\n\r\n" % (level, level + 1) for level in range(2000)
)


@pytest.fixture
def gateway(panel_app: Flask) -> Gateway:
    """The panel's services."""
    return gateway_of(panel_app)


def body_of(browser: Browser, message_id: str) -> TestResponse:
    answer = browser.get(f"/admin/messages/{message_id}/body")
    assert answer.status_code == 200
    return answer


def multipart(*parts: bytes) -> bytes:
    joined = b"".join(b"--limit\r\n" + part + b"\r\n" for part in parts) + b"--limit--\r\n"
    return mail('multipart/mixed; boundary="limit"', joined)


def test_the_frame_may_do_nothing(owner: Browser, gateway: Gateway) -> None:
    message_id = send(gateway, source=mail("text/html", HOSTILE))
    page = owner.get(f"/admin/messages/{message_id}/").get_data(as_text=True)
    assert '<iframe class="message-frame" sandbox="" referrerpolicy="no-referrer"' in page
    assert "2 pictures are not shown" in page
    for words in (b"alert(", b"evil.example/b.png", b"dns-prefetch"):
        assert words.decode() not in page
    answer = body_of(owner, message_id)
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "data:"
    assert policy["form-action"] == policy["base-uri"] == "'none'"
    assert policy["sandbox"] == "", "no permission is given back"
    assert "script-src" not in policy
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"].startswith("text/html")


def test_what_is_shown_of_hostile_html(owner: Browser, gateway: Gateway) -> None:
    shown = body_of(owner, send(gateway, source=mail("text/html", HOSTILE))).get_data(as_text=True)
    assert "Still to be read" in shown
    for words in ("evil.example", "alert(", "<script", "<form", "<base", "<iframe", "refresh", "onload", "javascript:"):
        assert words not in shown


def test_pictures_inside_the_message_are_shown(owner: Browser, gateway: Gateway) -> None:
    gif = base64.b64encode(b"GIF89a picture")
    source = multipart(
        b'Content-Type: text/html\r\n\r\n<img src="cid:logo">',
        b"Content-Type: image/gif\r\nContent-ID: <logo>\r\nContent-Transfer-Encoding: base64\r\n\r\n" + gif,
    )
    assert f'src="data:image/gif;base64,{gif.decode()}"' in body_of(owner, send(gateway, source=source)).text


@pytest.mark.parametrize(
    "source",
    [
        mail("text/plain; charset=nonsense", b"Gr\xfc\xdfe \xff\xfe"),
        mail("multipart/mixed", b"no boundary at all"),
        mail('multipart/mixed; boundary="x"', b"--x\r\nContent-Type: text/html; charset=\xff\r\n\r\n<p>\xff"),
        mail("text/html", b"<p " * 10_000),
        mail(";;;", b"?"),
        mail("text/plain", b"8-bit: \xc3\xbc\xc3\x9f"),
        mail("text/html; charset=utf-16", b"<\x00p\x00>\x00"),
        mail("message/rfc822", b"Content-Type: message/rfc822\r\n\r\n" * 50),
        mail("text/plain; name*0*=a'b'%ff; name*1=\xc3", b"x"),
        mail("text/plain", b"x", subject="=?utf-8?b?!!!?= =?nonsense?q?=ff?="),
        mail("multipart/mixed; boundary=x0", NESTED),
    ],
)
def test_malformed_mail_is_shown_as_far_as_it_goes(owner: Browser, gateway: Gateway, source: bytes) -> None:
    message_id = send(gateway, source=source)
    assert owner.get("/admin/messages/").status_code == 200
    for tab in TABS:
        assert owner.get(f"/admin/messages/{message_id}/?show={tab}").status_code == 200, tab
    body_of(owner, message_id)
    for file, expected in (("source", {200}), ("attachments/0", {200, 404})):  # octets, which `owner` would decode
        assert owner.client.get(f"/admin/messages/{message_id}/{file}").status_code in expected


def test_text_headers_and_source_are_text(owner: Browser, gateway: Gateway) -> None:
    source = mail(
        "text/plain; charset=utf-8", "Grüße </pre><script>alert(1)</script>".encode(), subject="=?utf-8?q?=C3=9C?="
    )
    message_id = send(gateway, source=source)
    text = owner.get(f"/admin/messages/{message_id}/").get_data(as_text=True)
    assert "Grüße &lt;/pre&gt;&lt;script&gt;" in text
    headers = owner.get(f"/admin/messages/{message_id}/?show=headers").get_data(as_text=True)
    assert '<th scope="row">Subject</th><td><bdi>Ü</bdi>' in headers
    assert '<th scope="row">Received</th>' in headers
    raw = owner.get(f"/admin/messages/{message_id}/?show=source").get_data(as_text=True)
    assert "=?utf-8?q?=C3=9C?=" in raw
    for page in (text, headers, raw):
        assert "<script>alert" not in page


def test_a_huge_message_is_cut_on_the_page_and_whole_in_the_file(owner: Browser, gateway: Gateway) -> None:
    message_id = send(gateway, source=mail("text/plain", b"0123456789 abcdefghij\r\n" * 100_000 + b"THE END"))
    for tab in ("text", "source"):
        page = owner.get(f"/admin/messages/{message_id}/?show={tab}").get_data(as_text=True)
        assert len(page) < 700_000
        assert "the file has it all" in page
        assert "THE END" not in page
    assert "THE END" in owner.get(f"/admin/messages/{message_id}/source").get_data(as_text=True)


def test_the_source_is_a_file(owner: Browser, gateway: Gateway) -> None:
    message_id = send(gateway, source=mail("text/html", HOSTILE))
    answer = owner.get(f"/admin/messages/{message_id}/source")
    assert answer.headers["Content-Disposition"] == f"attachment; filename={message_id}.eml"
    assert answer.headers["Content-Type"] == "message/rfc822"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    with gateway.database.session() as session:
        assert answer.get_data() == load_source(session, message_id)


def test_attachments_are_files_of_no_type(owner: Browser, gateway: Gateway) -> None:
    source = multipart(
        b"Content-Type: text/plain\r\n\r\nhello",
        b"Content-Type: text/html\r\n"
        b"Content-Disposition: attachment; filename*=utf-8''R%C3%A9sum%C3%A9%22%3Cb%3E.html\r\n\r\n"
        b"<script>alert(1)</script>",
    )
    message_id = send(gateway, source=source)
    page = owner.get(f"/admin/messages/{message_id}/").get_data(as_text=True)
    assert "1 attachment" in page
    assert "<b>.html" not in page
    assert f"/admin/messages/{message_id}/attachments/1" in page
    answer = owner.get(f"/admin/messages/{message_id}/attachments/1")
    assert answer.get_data() == b"<script>alert(1)</script>"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    for number in ("0", "2", "99999999999999999999", "-1"):
        assert owner.get(f"/admin/messages/{message_id}/attachments/{number}").status_code == 404
