"""The panel in an app, people of each role, and a browser without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from sqlalchemy import select
from werkzeug.test import TestResponse

from tests.support.factories import PANEL_PASSWORD
from webapp import gateway_of
from webapp.admin import init_admin
from webapp.admin.sessions import COOKIE
from webapp.core.models import Admin, utcnow
from webapp.core.services import admins, sessions
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway
from webapp.db import db

PASSWORD = PANEL_PASSWORD
_FORM = re.compile(r'<form[^>]*method="post".*?</form>', re.DOTALL)
_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class Browser:
    """Flask's test client, with the CSRF token of the page that it saw last."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.client: FlaskClient = app.test_client()
        self.csrf_token = ""

    def get(self, path: str, **kwargs: object) -> TestResponse:
        """GET, without following redirects; remember the page's token."""
        return self._seen(self.client.get(path, **kwargs))

    def post(self, path: str, data: dict | None = None, *, token: bool = True, **kwargs: object) -> TestResponse:
        """POST a form, with the CSRF token unless told otherwise."""
        fields = dict(data or {}) | ({"csrf_token": self.csrf_token} if token else {})
        return self._seen(self.client.post(path, data=fields, **kwargs))

    def log_in(self, email: str, password: str = PASSWORD) -> TestResponse:
        """Go through the login form."""
        self.get("/login")
        answer = self.post("/login", {"email": email, "password": password})
        if answer.status_code == 303:
            self.get("/admin/")
        return answer

    def enter(self, email: str) -> None:
        """Be logged in as the form does it, without typing the password: most tests are about something else."""
        gateway = gateway_of(self.app)
        with gateway.database.session() as session:
            admin = session.scalars(select(Admin).where(Admin.email == email)).one()
            token = sessions.start(session, admin, ip="127.0.0.1", client="", now=utcnow())
        self.client.set_cookie(COOKIE, token)
        self.get("/admin/account/")

    def _seen(self, answer: TestResponse) -> TestResponse:
        if answer.mimetype != "text/html":
            return answer
        page = answer.get_data(as_text=True)
        for form in _FORM.findall(page):
            assert _TOKEN.search(form), f"a form without a CSRF token: {form[:200]}"
        if match := _TOKEN.search(page):
            self.csrf_token = match[1]
        return answer


@pytest.fixture(scope="session")
def compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """Compiled templates, once a run: every test has an app of its own, and compiling took half of its time."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def make_panel(make_app: Callable[..., Flask], compiled_templates: FileSystemBytecodeCache) -> Callable[..., Flask]:
    """Apps with the panel; keyword arguments are settings."""

    def make(**overrides: object) -> Flask:
        app = make_app(**overrides)
        app.jinja_env.bytecode_cache = compiled_templates
        init_admin(app)
        _hire(gateway_of(app))
        return app

    return make


@pytest.fixture(scope="session")
def panel_of_all() -> list[Flask]:
    """The one app that `panel_app` uses again and again: plugging in the panel's routes takes long."""
    return []


@pytest.fixture
def panel_app(make_app: Callable[..., Flask], panel_of_all: list[Flask]) -> Flask:
    """An app with the panel, on this test's database, and one person of each role."""
    fresh = make_app()
    if not panel_of_all:
        init_admin(fresh)
        panel_of_all.append(fresh)
    (app,) = panel_of_all
    gateway = app.extensions["postlatch"] = gateway_of(fresh)
    app.config.update(SECRET_KEY=gateway.vault.cookie_key)
    db._app_engines[app] = {None: gateway.database.engine}
    _hire(gateway)
    return app


def _hire(gateway: Gateway) -> None:
    with gateway.database.session() as session:
        for role in ("owner", "manager", "viewer"):
            admins.create(session, COMMAND_LINE, email=f"{role}@example.com", role=role, password=PASSWORD)


@pytest.fixture
def relaying(make_panel: Callable[..., Flask]) -> Flask:
    """A panel in relay mode."""
    return make_panel(delivery="relay", relay_url="smtp://relay.example")


@pytest.fixture
def browser(panel_app: Flask) -> Browser:
    """Somebody who is not logged in."""
    return Browser(panel_app)


@pytest.fixture
def logged_in(panel_app: Flask) -> Callable[[str], Browser]:
    """``logged_in("viewer")``: a browser of its own for that person."""

    def make(role: str) -> Browser:
        made = Browser(panel_app)
        made.enter(f"{role}@example.com")
        return made

    return make


@pytest.fixture
def owner(logged_in: Callable[[str], Browser]) -> Browser:
    """A logged-in owner."""
    return logged_in("owner")
