"""Real Chromium for the panel's tests: ``open_page(panel_app, "owner", width=390)`` is a logged-in page.

Every page is watched: when the test ends, it must have asked no other host, and the browser must have complained
about nothing (console, uncaught errors, dialogs), unless it was opened with ``strict=False``.
Set ``POSTLATCH_TEST_SHOTS`` to a folder and `Visit.shot` leaves pictures there to look at.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from flask import Flask
from werkzeug.serving import make_server

from tests.support import needs
from tests.support.factories import PANEL_PASSWORD
from tests.support.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DESKTOP, PHONE = 1440, 390
_HEIGHT = 900

#: For a module whose tests are about what a browser does: once is enough, on one database.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@dataclass
class Visit:
    """A page, and what it did that it should not have."""

    page: Page
    base: str
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def goto(self, path: str) -> Page:
        """Open *path* of the panel and return the page."""
        self.page.goto(self.base + path)
        return self.page

    def log_in(self, email: str, password: str = PANEL_PASSWORD) -> None:
        """Go through the login form."""
        self.goto("/login")
        self.page.fill("[name=email]", email)
        self.page.fill("[name=password]", password)
        self.page.click("[type=submit]")
        self.page.wait_for_url(f"{self.base}/admin/**")

    def fits(self) -> bool:
        """Whether nothing sticks out to the right: the page never scrolls sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    def shot(self, name: str) -> None:
        """Leave pictures of the page, light and dark, at both widths, if ``POSTLATCH_TEST_SHOTS`` names a folder."""
        folder = os.environ.get("POSTLATCH_TEST_SHOTS")
        if not folder:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        before = self.page.viewport_size
        for width in (DESKTOP, PHONE):
            self.page.set_viewport_size({"width": width, "height": _HEIGHT})
            for theme in ("light", "dark"):
                self.page.evaluate("theme => document.documentElement.setAttribute('data-bs-theme', theme)", theme)
                self.page.screenshot(
                    path=Path(folder) / f"{name}-{width}-{theme}.png", full_page=True, animations="disabled"
                )
        self.page.evaluate("document.documentElement.setAttribute('data-bs-theme', 'light')")
        if before:
            self.page.set_viewport_size(before)

    @property
    def strangers(self) -> list[str]:
        """What it asked of other hosts."""
        return [url for url in self.asked if not url.startswith((self.base, "data:", "blob:"))]

    def watch(self) -> None:
        """Note what the page asks and says from now on."""
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self._hear(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    def _hear(self, text: str) -> None:
        if "responded with a status of 422" not in text:  # a form with a mistake in it, which the page explains
            self.said.append(text)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One Chromium for the tests of a file. Its event loop lives in this thread: no `asyncio.run` beside it."""
    from playwright.sync_api import sync_playwright

    program = needs.program("Chromium", "chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Visit]]:
    """``open_page(target, role)``: a page of *target*, with cookies of its own.

    *target* is an app with the panel (served here on a port of its own), a started `Stack`, or an address. *role* is
    whom to log in as, one of an app's or a stack's people; None logs nobody in.
    """
    with ExitStack() as opened:
        watched: list[Visit] = []
        served: dict[int, str] = {}

        def open_one(
            target: Flask | Stack | str,
            role: str | None = None,
            *,
            width: int = DESKTOP,
            theme: Literal["light", "dark"] = "light",
            strict: bool = True,
        ) -> Visit:
            if id(target) not in served:
                served[id(target)] = (
                    opened.enter_context(serve(target))
                    if isinstance(target, Flask)
                    else str(target.url if isinstance(target, Stack) else target)
                )
            context = chromium.new_context(viewport={"width": width, "height": _HEIGHT}, color_scheme=theme)
            context.grant_permissions(["clipboard-read", "clipboard-write"])
            context.set_default_timeout(20_000)
            opened.callback(context.close)
            visit = Visit(context.new_page(), served[id(target)])
            visit.watch()
            if strict:
                watched.append(visit)
            if role:
                visit.log_in(target.person(role) if isinstance(target, Stack) else f"{role}@example.com")
            return visit

        yield open_one
        for visit in watched:
            assert not visit.strangers, visit.strangers
            assert not visit.said, visit.said
            assert not visit.dialogs, visit.dialogs


@contextmanager
def serve(app: Flask) -> Iterator[str]:
    """Serve *app* on a port that the system chooses, in threads of this process; its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
