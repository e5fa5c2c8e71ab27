"""The Integrations page: keys for platforms, what it shows to whom, downloads, snippets that run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from integrations.api import create_api
from tests.admin.conftest import PASSWORD, Browser
from tests.support import needs
from tests.support.browser import on_sqlite, serve
from tests.support.factories import make_api_key, make_domain
from webapp import gateway_of
from webapp.admin import csrf, init_admin
from webapp.admin.snippets import KEY_VARIABLE, snippets
from webapp.core.models import ApiKeyRow, AuditEntry, Domain, Message, utcnow
from webapp.core.services import admins, hooks
from webapp.core.services.audit import COMMAND_LINE

PAGE = "/admin/integrations/"
FIELDS = {"note": "Zapier", "messages_per_hour": "100", "lasts": "365"}


def keys(app: Flask) -> list[ApiKeyRow]:
    with gateway_of(app).database.session() as session:
        return list(session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.id)))


def test_a_key_for_zapier_has_a_limit_and_an_end_and_is_shown_once(
    panel_app: Flask, logged_in: Callable[[str], Browser]
) -> None:
    make_domain(gateway_of(panel_app))
    manager = logged_in("manager")
    page = manager.get(PAGE + "zapier/").text
    assert "a lock on addresses would break it" in page
    fields = FIELDS | {"once": re.findall(r'name="once"[^>]*value="([^"]+)"', page)[0]}
    made = manager.post(PAGE + "zapier/", fields)
    assert made.status_code == 200
    (row,) = keys(panel_app)
    assert (row.note, row.messages_per_hour, row.allowed_networks) == ("Zapier", 100, [])
    assert abs(row.expires_at - utcnow() - timedelta(days=365)) < timedelta(minutes=1)
    key = re.findall(r"pl_\w+_[\w-]+", made.text)[0]
    assert f"Bearer {key}" in made.text

    again = manager.post(PAGE + "zapier/", fields)
    assert again.status_code == 303
    assert len(keys(panel_app)) == 1
    later = manager.get(f"{PAGE}zapier/?key={row.id}").text
    assert row.label in later
    assert key not in later
    with gateway_of(panel_app).database.session() as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.object_type == "credential")).all()
        assert [one.action for one in entries] == ["create", "change"]
        assert key.rpartition("_")[2] not in str([one.changes for one in entries])


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("make", {"messages_per_hour": "0"}, "Give a number from 1"),
        ("make", {"messages_per_hour": "many"}, "Not a valid integer"),
        ("n8n", {"lasts": "3"}, "Not a valid choice"),
        ("http", {"note": "x" * 501}, "The note is too long"),
        ("http", {"domain": ""}, "Choose the domain"),
        ("http", {"domain": "elsewhere.example"}, "Not a valid choice"),
    ],
)
@on_sqlite
def test_what_the_form_refuses(name: str, fields: dict, said: str, panel_app: Flask, owner: Browser) -> None:
    make_domain(gateway_of(panel_app))
    make_domain(gateway_of(panel_app), "second.example")
    owner.get(f"{PAGE}{name}/")
    answer = owner.post(f"{PAGE}{name}/", FIELDS | {"domain": "example.com"} | fields)
    assert answer.status_code == 422
    assert said in answer.text
    assert keys(panel_app) == []


@on_sqlite
def test_a_viewer_sees_the_steps_and_makes_no_key(panel_app: Flask, logged_in: Callable[[str], Browser]) -> None:
    make_domain(gateway_of(panel_app))
    viewer = logged_in("viewer")
    for name in ("zapier", "make", "n8n", "http"):
        page = viewer.get(f"{PAGE}{name}/").text
        assert "Ask one of them for a key" in page
        assert "Add webhook</a>" not in page
        assert viewer.post(f"{PAGE}{name}/", FIELDS).status_code == 403
    assert viewer.get(PAGE).status_code == 200
    assert viewer.get(PAGE + "elsewhere/").status_code == 404
    assert viewer.get(PAGE + "n8n/app").status_code == 404
    assert keys(panel_app) == []


@on_sqlite
def test_the_chosen_domain_has_its_keys_hooks_and_senders(panel_app: Flask, owner: Browser) -> None:
    gateway = gateway_of(panel_app)
    make_domain(gateway)
    second = make_domain(gateway, "second.example")
    key_id, _ = make_api_key(gateway)
    with gateway.database.session() as session:
        target = "https://hooks.example.org/secret-part"
        domain = session.get_one(Domain, second)
        events = ["bounced"]
        hook, _ = hooks.create(
            session, COMMAND_LINE, gateway.vault, domain=domain, name="Bounces", target_url=target, events=events
        )
        hooks.pause(session, COMMAND_LINE, hook)
    page = owner.get(PAGE + "?domain=second.example").text
    assert "Bounces" in page
    assert "Paused" in page
    assert "/admin/webhooks/1/?domain=second.example#log-heading" in page
    assert "secret-part" not in page
    assert "hello@second.example" in page
    assert "Bounces" not in owner.get(PAGE + "?domain=example.com").text
    assert owner.get(f"{PAGE}first-call/{key_id}?domain=example.com").status_code == 200
    assert owner.get(f"{PAGE}first-call/{key_id}?domain=second.example").status_code == 404
    assert owner.get(f"{PAGE}first-call/{10**12}").status_code == 404
    assert owner.get(f"{PAGE}http/?key=-{10**30}").status_code == 404
    form = owner.get("/admin/webhooks/new/?name=Zapier&domain=second.example").text
    assert re.search(r'name="name"[^>]*value="Zapier"', form)


@on_sqlite
@pytest.mark.parametrize(
    ("public_url", "reachable"),
    [
        ("https://mail.example.org", True),
        ("http://mail.example.org", False),
        ("https://10.0.0.5", False),
        ("https://mail.internal", False),
        (None, False),
    ],
)
def test_it_says_whether_zapier_can_reach_this_server(
    make_panel: Callable[..., Flask], public_url: str | None, reachable: bool
) -> None:
    owner = Browser(make_panel(public_url=public_url))
    owner.log_in("owner@example.com")
    for path in ("", "zapier/", "make/"):
        assert ("reach this server yet" not in owner.get(PAGE + path).text) is reachable
    guide = owner.get(PAGE + "going-public/").text
    assert "POSTLATCH_TRUSTED_PROXIES" in guide
    assert "/etc/cron.daily/postlatch-certificate" in guide


@on_sqlite
def test_the_apps_are_filled_in_with_this_servers_address(make_app: Callable[..., Flask]) -> None:
    app = make_app(public_url="https://mail.example.org")
    init_admin(app, downloads={"make": lambda base_url: f"for {base_url}".encode()})
    with gateway_of(app).database.session() as session:
        admins.create(session, COMMAND_LINE, email="v@example.com", role="viewer", password=PASSWORD)
    viewer = Browser(app)
    viewer.log_in("v@example.com")
    assert "needs a developer account" in viewer.get(PAGE + "make/").text
    assert "needs a developer account" not in viewer.get(PAGE + "zapier/").text
    answer = viewer.get(PAGE + "make/app")
    assert (answer.mimetype, answer.data) == ("application/zip", b"for https://mail.example.org")
    assert "postlatch-make.zip" in answer.headers["Content-Disposition"]
    assert viewer.get(PAGE + "zapier/app").status_code == 404


@on_sqlite
def test_the_snippets_run(make_panel: Callable[..., Flask]) -> None:
    app = make_panel()
    gateway = gateway_of(app)
    blueprint = create_api(gateway)
    csrf.exempt(blueprint)
    app.register_blueprint(blueprint)
    make_domain(gateway)
    _, key = make_api_key(gateway)
    with serve(app) as url:
        found = {one.id: one.text for one in snippets(url, sender="o'neil@example.com", recipient="ann@example.org")}
        commands = {
            "curl": ["sh", "-c", f"{needs.program('curl').parent}/" + found["curl"]],
            "python": [sys.executable, "-c", found["python"]],
            "node": [str(needs.program("Node", "node")), "--input-type=module", "-e", found["node"]],
        }
        for name, command in commands.items():
            ran = subprocess.run(
                command,
                env={KEY_VARIABLE: key, "PATH": os.environ["PATH"]},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert ran.returncode == 0, ran.stderr
            assert "msg_" in ran.stdout, (name, ran.stdout)
    with gateway.database.session() as session:
        assert session.scalars(select(Message.from_email)).all() == ["o'neil@example.com"] * 3
    assert "'from' => 'o\\'neil@example.com'" in found["php"]
