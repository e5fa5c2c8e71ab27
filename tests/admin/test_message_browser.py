"""Hostile mail in real Chromium: the page about it runs nothing of it and asks nobody but this server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from flask import Flask
from playwright.sync_api import Page, sync_playwright
from werkzeug.serving import make_server

from tests.admin.conftest import PASSWORD
from tests.admin.mailroom import mail, send
from tests.support import needs
from webapp import gateway_of
from webapp.core.services.gateway import Gateway

pytestmark = pytest.mark.browser

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


@dataclass
class Watched:
    """A page, and what it did that it should not have."""

    page: Page
    base: str
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@pytest.fixture
def gateway(panel_app: Flask) -> Gateway:
    """The panel's services."""
    return gateway_of(panel_app)


@pytest.fixture
def base(panel_app: Flask) -> Iterator[str]:
    """The panel's address, served on a port of its own."""
    server = make_server("127.0.0.1", 0, panel_app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join(10)


@pytest.fixture
def watched(base: str) -> Iterator[Watched]:
    """A logged-in browser whose every request, message and dialog is noted."""
    chromium = needs.program("Chromium", "chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        found = Watched(browser.new_page(), base)
        found.page.goto(f"{base}/login")
        found.page.fill("[name=email]", "viewer@example.com")
        found.page.fill("[name=password]", PASSWORD)
        found.page.click("button[type=submit]")
        found.page.wait_for_url(f"{base}/admin/**")
        found.page.on("request", lambda request: found.asked.append(request.url))
        found.page.on("console", lambda message: found.said.append(message.text))
        found.page.on("dialog", lambda dialog: (found.dialogs.append(dialog.message), dialog.dismiss()))
        yield found
        browser.close()


def test_hostile_html_is_only_looked_at(watched: Watched, gateway: Gateway) -> None:
    message_id = send(gateway, source=mail("text/html", HOSTILE.encode(), subject="Gift"))
    page = watched.page
    page.goto(f"{watched.base}/admin/messages/{message_id}/")
    page.wait_for_load_state("networkidle")
    frame = page.frame_locator("iframe.message-frame")
    assert frame.locator("#text").inner_text() == "Still to be read"
    assert frame.locator("#text").evaluate("node => getComputedStyle(node).color") == "rgb(255, 0, 0)"
    frame.locator("#link").click()
    page.wait_for_load_state("networkidle")
    assert page.title().startswith("Gift")
    assert page.url == f"{watched.base}/admin/messages/{message_id}/"
    assert len(page.context.pages) == 1, "the link opened nothing"
    assert watched.dialogs == []
    strange = [url for url in watched.asked if not url.startswith((watched.base, "data:"))]
    # What a style asks for is seen here before the frame's policy stops it; nothing of the markup may even try.
    assert all(url.endswith((".css", ".woff2", "p.png")) for url in strange), strange
    assert watched.said, "the policy's refusals of the styles' loads"
    assert all("Content Security Policy" in text or "sandboxed" in text for text in watched.said), watched.said


def test_the_body_s_own_address_is_no_way_around_the_frame(watched: Watched, gateway: Gateway) -> None:
    message_id = send(gateway, source=mail("text/html", HOSTILE.encode()))
    page = watched.page
    page.goto(f"{watched.base}/admin/messages/{message_id}/body")
    page.wait_for_load_state("networkidle")
    assert page.locator("#text").inner_text() == "Still to be read"
    assert page.evaluate("window.origin") == "null", "it is no page of this server to a browser"
    assert watched.dialogs == []


def test_an_ordinary_message_page_has_no_complaints(watched: Watched, gateway: Gateway) -> None:
    message_id = send(gateway, source=mail("text/html", b"<p style='color:red'>Hello</p>"))
    page = watched.page
    for show in ("rendered", "text", "headers", "source"):
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(f"{watched.base}/admin/messages/{message_id}/?show={show}")
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (show, width)
    assert watched.said == []
    assert all(url.startswith(watched.base) for url in watched.asked)
