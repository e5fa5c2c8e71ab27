"""The readable page about the API: for anyone, from this server alone, on a desk and on a telephone."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright
from werkzeug.serving import make_server

from tests.support import needs

from .conftest import Caller


def test_it_needs_no_key_and_runs_no_script(caller: Caller) -> None:
    answer = Caller(caller.app, None).get("/docs")
    page = answer.get_data(as_text=True)
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert "<script" not in page
    assert "style=" not in page
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for described in ("POST", "/v1/send", "idempotency_key", "Retry-After", "curl -G"):
        assert described in page


@pytest.fixture
def served(caller: Caller) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, caller.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def chromium() -> Iterator[Browser]:
    program = needs.program("Chromium", "chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.browser
def test_in_chromium(served: str, chromium: Browser) -> None:
    backgrounds = set()
    for width, scheme in ((1440, "light"), (390, "dark")):
        page = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        asked: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, complaints=complaints: complaints.append(message.text))
        page.goto(f"{served}/v1/docs")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert all(url.startswith(served) for url in asked)
        assert complaints == []
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.click('nav a[href="#source"]')
        assert page.locator("section#source h2").is_visible()
    assert len(backgrounds) == 2
