"""Hostile mail in real Chromium: the page about it runs nothing of it and asks nobody but this server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from tests.admin.mailroom import mail, send
from tests.support.browser import DESKTOP, PHONE, Visit, on_sqlite
from webapp import gateway_of
from webapp.core.services.gateway import Gateway

pytestmark = [pytest.mark.browser, on_sqlite]

EVIL = "http://127.0.0.1:9/"  # whatever asks here is seen by the browser, and reaches nobody
HOSTILE = f"""<html><head><base href="{EVIL}"><meta http-equiv="refresh" content="0;url={EVIL}refresh">
<link rel="stylesheet" href="{EVIL}a.css"><link rel="preconnect" href="{EVIL}"><script src="{EVIL}a.js"></script>
<style>@import url("{EVIL}b.css"); @font-face {{ font-family: F; src: url("{EVIL}f.woff2") }}
p {{ font-family: F; background: url("{EVIL}p.png") }} .red {{ color: rgb(255, 0, 0) }}</style></head>
<body onload="top.document.title='owned'"><script>top.document.title = 'owned'; alert(1)</script>
<img src="{EVIL}open.gif" onerror="alert(2)"><img src=x onerror="alert(3)"><iframe src="{EVIL}frame"></iframe>
<svg><image href="{EVIL}i.png"/><script>alert(4)</script></svg><object data="{EVIL}o"></object>
<form action="{EVIL}" id="f"><button>Log in</button></form>
<p class="red" id="text">Still to be read</p><a id="link" href="{EVIL}click" target="_top">A link</a></body></html>"""


@pytest.fixture
def gateway(panel_app: Flask) -> Gateway:
    """The panel's services."""
    return gateway_of(panel_app)


def test_hostile_html_is_only_looked_at(panel_app: Flask, gateway: Gateway, open_page: Callable[..., Visit]) -> None:
    message_id = send(gateway, source=mail("text/html", HOSTILE.encode(), subject="Gift"))
    visit = open_page(panel_app, "viewer", strict=False)
    page = visit.goto(f"/admin/messages/{message_id}/")
    page.wait_for_load_state("networkidle")
    frame = page.frame_locator("iframe.message-frame")
    assert frame.locator("#text").inner_text() == "Still to be read"
    assert frame.locator("#text").evaluate("node => getComputedStyle(node).color") == "rgb(255, 0, 0)"
    frame.locator("#link").click()
    page.wait_for_load_state("networkidle")
    assert page.title().startswith("Gift")
    assert page.url == f"{visit.base}/admin/messages/{message_id}/"
    assert len(page.context.pages) == 1, "the link opened nothing"
    assert visit.dialogs == []
    # What a style asks for is seen here before the frame's policy stops it; nothing of the markup may even try.
    assert all(url.endswith((".css", ".woff2", "p.png")) for url in visit.strangers), visit.strangers
    assert visit.said, "the policy's refusals of the styles' loads"
    assert all("Content Security Policy" in text or "sandboxed" in text for text in visit.said), visit.said


def test_the_body_s_own_address_is_no_way_around_the_frame(
    panel_app: Flask, gateway: Gateway, open_page: Callable[..., Visit]
) -> None:
    message_id = send(gateway, source=mail("text/html", HOSTILE.encode()))
    visit = open_page(panel_app, "viewer", strict=False)
    page = visit.goto(f"/admin/messages/{message_id}/body")
    page.wait_for_load_state("networkidle")
    assert page.locator("#text").inner_text() == "Still to be read"
    assert page.evaluate("window.origin") == "null", "it is no page of this server to a browser"
    assert visit.dialogs == []


def test_an_ordinary_message_page_has_no_complaints(
    panel_app: Flask, gateway: Gateway, open_page: Callable[..., Visit]
) -> None:
    message_id = send(gateway, source=mail("text/html", b"<p style='color:red'>Hello</p>"))
    for width in (DESKTOP, PHONE):
        visit = open_page(panel_app, "viewer", width=width)
        for show in ("rendered", "text", "headers", "source"):
            visit.goto(f"/admin/messages/{message_id}/?show={show}").wait_for_load_state("networkidle")
            assert visit.fits(), (show, width)
