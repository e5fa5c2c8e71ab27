"""The Settings page: what an owner changes, what the environment has fixed, and what is never shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from tests.admin.conftest import Browser
from tests.support.factories import make_domain
from webapp import gateway_of
from webapp.admin.views.settings_forms import short
from webapp.certificate import ensure_certificate
from webapp.core.models import AuditEntry, Domain, Preference
from webapp.core.services.gateway import Gateway
from webapp.core.services.preferences import Current

PAGE = "/admin/settings/"
RELAY = {
    "delivery": "relay",
    "host": "smtp.provider.example",
    "port": "587",
    "security": "starttls",
    "username": "bakery",
    "password": "s3cret-Relay/pass@word",
}


@pytest.fixture
def gateway(panel_app: Flask) -> Gateway:
    """The panel's services."""
    return gateway_of(panel_app)


def stored(gateway: Gateway) -> Current:
    with gateway.database.session() as session:
        return gateway.preferences.read(session)


def save(browser: Browser, form: str, **values: Any) -> str:
    """Send a form; return the page with its errors, or the page after it."""
    browser.get(PAGE)
    answer = browser.post(PAGE + form, values)
    if answer.status_code == 303:
        answer = browser.get(answer.headers["Location"])
        assert answer.status_code == 200
    else:
        assert answer.status_code == 422, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def test_a_relay_is_chosen_and_its_password_never_shown_again(owner: Browser, gateway: Gateway) -> None:
    page = save(owner, "delivery", **RELAY)
    assert "leaves through the relay" in page
    current = stored(gateway)
    assert current.delivery == "relay"
    assert current.relay is not None
    assert (current.relay.label, current.relay.security) == ("smtp.provider.example:587", "starttls")
    assert (current.relay.username, current.relay.password) == ("bakery", RELAY["password"])
    assert "s3cret" not in page
    assert "One is stored." in page
    audit = owner.get("/admin/audit/").get_data(as_text=True)
    assert "relay server" in audit
    assert "s3cret" not in audit
    with gateway.database.session() as session:
        assert "s3cret" not in str(session.get_one(Preference, "relay_url").value)
        assert "s3cret" not in str([entry.changes for entry in session.scalars(select(AuditEntry))])


def test_an_empty_password_keeps_the_stored_one(owner: Browser, gateway: Gateway) -> None:
    save(owner, "delivery", **RELAY)
    save(owner, "delivery", **RELAY | {"password": "", "security": "tls", "host": " SMTP.Provider.example "})
    relay = stored(gateway).relay
    assert relay is not None
    assert (relay.password, relay.security) == (RELAY["password"], "tls")


@pytest.mark.parametrize("changed", [{"host": "evil.example"}, {"port": "25"}, {"username": "other"}])
def test_another_server_never_gets_the_stored_password(
    owner: Browser, gateway: Gateway, changed: dict[str, str]
) -> None:
    save(owner, "delivery", **RELAY)
    page = save(owner, "delivery", **RELAY | {"password": ""} | changed)
    assert "Type the password: it is not kept" in page
    relay = stored(gateway).relay
    assert relay is not None
    assert relay.host == "smtp.provider.example"
    save(owner, "delivery", **RELAY | changed | {"password": "another"})
    relay = stored(gateway).relay
    assert relay is not None
    assert relay.password == "another"


def test_a_relay_without_a_login_forgets_the_password(owner: Browser, gateway: Gateway) -> None:
    save(owner, "delivery", **RELAY)
    save(owner, "delivery", **RELAY | {"username": "", "password": ""})
    relay = stored(gateway).relay
    assert relay is not None
    assert (relay.username, relay.password) == (None, None)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"host": ""}, "relay&#39;s host name"),
        ({"host": "", "username": "", "password": ""}, "mail can&#39;t leave without one"),
        ({"host": "evil.example/x"}, "not a host name"),
        ({"host": "user@evil.example"}, "not a host name"),
        ({"host": "two words"}, "not a host name"),
        ({"host": "a.example\nb"}, "not a host name"),
        ({"port": ""}, "relay&#39;s port"),
        ({"port": "70000"}, "from 1 to 65535"),
        ({"port": "abc"}, "Not a valid integer"),
        ({"security": "none"}, "Not a valid choice"),
        ({"username": ""}, "username that goes with the password"),
        ({"delivery": "nonsense"}, "Not a valid choice"),
    ],
)
def test_what_can_not_be_stored_is_named(
    owner: Browser, gateway: Gateway, values: dict[str, str], problem: str
) -> None:
    page = save(owner, "delivery", **RELAY | values)
    assert problem in page
    assert "s3cret" not in page, "not even a rejected password comes back"
    assert stored(gateway).delivery == "capture"
    assert stored(gateway).relay is None


@pytest.mark.parametrize("host", ["192.0.2.25", "[2001:db8::25]", "relay", "smtp_1.example.org"])
def test_hosts_may_be_names_and_addresses(owner: Browser, gateway: Gateway, host: str) -> None:
    save(owner, "delivery", **RELAY | {"host": host})
    relay = stored(gateway).relay
    assert relay is not None
    assert relay.host == host.strip("[]")


def test_direct_delivery_needs_no_relay(owner: Browser, gateway: Gateway) -> None:
    empty = dict.fromkeys(RELAY, "")
    page = save(owner, "delivery", **empty | {"delivery": "mx", "port": "587", "security": "starttls"})
    assert "is delivered directly" in page
    assert stored(gateway).delivery == "mx"
    assert stored(gateway).relay is None


def test_back_to_capture(owner: Browser, gateway: Gateway) -> None:
    save(owner, "delivery", **RELAY)
    page = save(owner, "delivery", **RELAY | {"delivery": "capture", "password": ""})
    assert "nothing leaves this server" in page
    assert stored(gateway).delivery == "capture"
    assert stored(gateway).relay is not None, "the relay is kept for later"


def test_what_the_environment_sets_is_shown_as_fixed(make_panel: Callable[..., Flask]) -> None:
    app = make_panel(delivery="relay", relay_url="smtps://user:s3cret@relay.example:465")
    browser = Browser(app)
    browser.log_in("owner@example.com")
    page = browser.get(PAGE).get_data(as_text=True)
    for part in ("POSTLATCH_DELIVERY", "POSTLATCH_RELAY_URL", "relay.example:465", "SSL/TLS from the start"):
        assert part in page
    assert "s3cret" not in page
    assert 'name="host"' not in page
    browser.post(PAGE + "delivery", RELAY | {"delivery": "capture", "host": "evil.example"})
    current = stored(gateway_of(app))
    assert current.delivery == "relay"
    assert current.relay is not None
    assert current.relay.host == "relay.example"


def test_domains_that_would_be_refused_can_be_vouched_for(owner: Browser, gateway: Gateway) -> None:
    make_domain(gateway, "shop.example")
    make_domain(gateway, "vouched.example", vouch=True)
    page = owner.get(PAGE).get_data(as_text=True)
    assert "would be refused" in page
    assert "<strong>shop.example</strong>" in page
    assert "<strong>vouched.example</strong>" not in page
    assert owner.post(PAGE + "vouch", {"domain": "shop.example"}).status_code == 303
    with gateway.database.session() as session:
        domain = session.scalars(select(Domain).where(Domain.name == "shop.example")).one()
        assert domain.vouched_by == "owner@example.com"
    assert "every sending domain is verified" in owner.get(PAGE).get_data(as_text=True)
    owner.post(PAGE + "vouch", {"domain": "nowhere.example"})
    assert "no longer there" in owner.get(PAGE).get_data(as_text=True)


def test_lockout_settings(owner: Browser, gateway: Gateway) -> None:
    values = {
        "lockout_failures": "5",
        "lockout_window": "1h",
        "lockout_first": "90s",
        "logs_kept_days": "30",
        "never_lock": "192.0.2.1\n10.0.0.0/8",
    }
    page = save(owner, "lockout", **values)
    assert "were saved" in page
    current = stored(gateway)
    assert (current.lockout_failures, current.lockout_window) == (5, timedelta(hours=1))
    assert current.lockout_first == timedelta(seconds=90)
    assert current.logs_kept == timedelta(days=30)
    assert [str(network) for network in current.never_lock] == ["192.0.2.1/32", "10.0.0.0/8"]
    assert "1 minute 30 seconds, then 9 minutes, then 36 minutes" in page
    assert 'value="1h"' in page
    save(owner, "lockout", **values | {"never_lock": ""})
    assert stored(gateway).never_lock == ()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"never_lock": "192.0.2.1\nnonsense"}, "Line 2: nonsense is not an IP address or range."),
        ({"never_lock": "<script>"}, "Line 1: &lt;script&gt; is not an IP address"),
        ({"lockout_failures": "0"}, "from 1 to 1000"),
        ({"lockout_failures": ""}, "Type a number."),
        ({"lockout_window": "soon"}, "Must be a duration"),
        ({"lockout_first": "-5m"}, "Must be a duration"),
        ({"logs_kept_days": "0"}, "from 1 to 3650"),
        ({"logs_kept_days": ""}, "Type a number of days"),
        ({"lockout_first": "99999999d"}, "Must be a duration"),
    ],
)
def test_wrong_lockout_settings_are_named(
    owner: Browser, gateway: Gateway, values: dict[str, str], problem: str
) -> None:
    before = stored(gateway)
    good = {
        "lockout_failures": "7",
        "lockout_window": "15m",
        "lockout_first": "5m",
        "never_lock": "",
        "logs_kept_days": "90",
    }
    assert problem in save(owner, "lockout", **good | values)
    assert stored(gateway) == before, "all or nothing"


def test_the_server_s_own_settings_are_shown(owner: Browser, gateway: Gateway) -> None:
    assert "can't be read" in owner.get(PAGE + "server").get_data(as_text=True)
    ensure_certificate(gateway.settings)
    page = owner.get(PAGE + "server").get_data(as_text=True)
    for part in ("self-signed", "5 days", "POSTLATCH_RETRY_MAX_AGE", "25 MB", "mail.postlatch.test"):
        assert part in page


def test_each_section_has_a_page_that_the_tabs_lead_to(owner: Browser) -> None:
    headings = {
        "": "How mail leaves this server",
        "lockout": "Locks against guessing",
        "requests": "Requests to the API",
        "retention": "How long mail is kept",
        "notifications": "Alerts by mail",
        "server": "Set on the server itself",
    }
    for section, heading in headings.items():
        page = owner.get(PAGE + section).get_data(as_text=True)
        assert [other for other in headings.values() if other in page] == [heading]
        assert all(f'href="{PAGE}{other}"' in page for other in headings)
        assert f'href="{PAGE}{section}" class="active" aria-current="page"' in page


@pytest.mark.parametrize("role", ["manager", "viewer"])
def test_only_owners_come_here(logged_in: Callable[[str], Browser], gateway: Gateway, role: str) -> None:
    browser = logged_in(role)
    assert browser.get(PAGE).status_code == 403
    assert PAGE not in browser.get("/admin/").get_data(as_text=True)
    for form in ("delivery", "lockout", "vouch"):
        assert browser.post(PAGE + form, RELAY).status_code == 403
    assert stored(gateway).delivery == "capture"


@pytest.mark.parametrize("form", ["delivery", "lockout", "vouch"])
def test_each_form_needs_its_token(owner: Browser, gateway: Gateway, form: str) -> None:
    assert owner.post(PAGE + form, RELAY, token=False).status_code == 400
    assert stored(gateway).delivery == "capture"


def test_durations_as_the_field_takes_them() -> None:
    lengths = {"5m": 300, "90s": 90, "1h": 3600, "1d": 86400, "36h": 129600}
    assert [short(timedelta(seconds=seconds)) for seconds in lengths.values()] == list(lengths)


def test_how_long_mail_is_kept(owner: Browser, panel_app: Flask) -> None:
    owner.get("/admin/settings/")
    form = {"content_kept_days": "60", "messages_kept_days": "30", "soft_bounces": "5"}
    refused = owner.post("/admin/settings/retention", form)
    assert refused.status_code == 422
    assert "longer than its message" in refused.get_data(as_text=True)
    assert owner.post("/admin/settings/retention", form | {"content_kept_days": "7"}).status_code == 303
    with gateway_of(panel_app).database.session() as session:
        current = gateway_of(panel_app).preferences.read(session)
    assert (current.content_kept.days, current.messages_kept.days, current.soft_bounces) == (7, 30, 5)
