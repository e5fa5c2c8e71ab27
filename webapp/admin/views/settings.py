"""Settings that an owner changes while it runs: how mail leaves, and when addresses are locked."""

from __future__ import annotations

import platform
from datetime import datetime
from typing import Any

import flask_admin
from flask import flash, redirect, request
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose
from sqlalchemy import select

from webapp.admin.base import PanelView
from webapp.admin.forms import PanelForm, show_error
from webapp.admin.sessions import actor, current_admin
from webapp.app import gateway_of
from webapp.certificate import read_certificate
from webapp.core.models import Domain
from webapp.core.rules.duration import format_duration
from webapp.core.rules.locks import lock_duration
from webapp.core.services import domains
from webapp.core.services.errors import ServiceError
from webapp.core.services.preferences import Current
from webapp.db import db
from webapp.settings import Settings

from .relay_form import SECURITIES
from .request_limits import RequestLimitsForm
from .settings_forms import DeliveryForm, LockoutForm, NotificationsForm, RetentionForm

#: The sections, each a page, by their names in the URL.
SECTIONS = {
    "delivery": "Delivery",
    "lockout": "Protection",
    "requests": "Limits",
    "retention": "Mail kept",
    "notifications": "Alerts",
    "server": "Server",
}


class SettingsView(PanelView, BaseView):
    """``/admin/settings/``"""

    role_to_open = role_to_change = "owner"
    domain_scoped = False
    intro = "What you change here holds within five seconds, everywhere, without a restart."
    menu_group = "Administration"

    def __init__(self) -> None:
        super().__init__(name="Settings", endpoint="settings", url="settings", menu_icon_value="settings")

    @property
    def page_tabs(self) -> list[dict[str, object]]:
        """A page for each section."""
        shown = (request.view_args or {}).get("section", "delivery")
        return [
            {
                "name": name,
                "url": self.get_url(".index") if section == "delivery" else self.get_url(".section", section=section),
                "active": section == shown,
            }
            for section, name in SECTIONS.items()
        ]

    @expose("/")
    def index(self) -> ResponseReturnValue:
        """How mail leaves, which is set first."""
        return self._page("delivery", _read())

    @expose("/delivery", methods=("POST",))
    def delivery(self) -> ResponseReturnValue:
        """How mail leaves this server, and the relay."""
        current, form = _read(), DeliveryForm()
        if form.validate():
            try:
                self._store(form.changes(current, gateway_of().preferences.is_fixed))
            except ServiceError as error:
                db.session.rollback()
                show_error(form, error)
            else:
                flash(_TOLD[_read().delivery], "success")
                return redirect(self.get_url(".index"), 303)
        return self._page("delivery", current, form), 422

    @expose("/<any(lockout, requests, retention, notifications, server):section>")
    def section(self, section: str) -> ResponseReturnValue:
        """One of the other sections."""
        return self._page(section, _read())

    @expose("/<any(lockout, requests, retention, notifications):section>", methods=("POST",))
    def save(self, section: str) -> ResponseReturnValue:
        """Its form."""
        form = _FORMS[f"{section}_form"]()
        if form.validate():
            try:
                self._store(form.changes())  # type: ignore[attr-defined]
            except ServiceError as error:
                db.session.rollback()
                show_error(form, error)
            else:
                flash(_SAVED[section], "success")
                return redirect(self.get_url(".section", section=section), 303)
        return self._page(section, _read(), form), 422

    @expose("/vouch", methods=("POST",))
    def vouch(self) -> ResponseReturnValue:
        """Let a domain's mail out without DNS proof."""
        domain = db.session.scalar(
            select(Domain).where(Domain.name == request.form.get("domain", ""), Domain.deleted_at.is_(None))
        )
        if domain is None:
            flash("This domain is no longer there.", "warning")
            return redirect(self.get_url(".index"), 303)
        return self.change(
            lambda: domains.set_vouched(db.session(), actor(), domain, vouched=True),
            f"You vouch for {domain.name} now: its mail may leave.",
        )

    def back(self) -> Any:
        """To how mail leaves, where domains are vouched for."""
        return redirect(self.get_url(".index"), 303)

    def _store(self, values: dict[str, Any]) -> None:
        gateway_of().preferences.store(db.session(), actor(), values)
        db.session.commit()

    def _page(self, section: str, current: Current, sent: PanelForm | None = None) -> str:
        """The page of *section*; *sent* is its form when that came back with mistakes."""
        settings = gateway_of().settings
        return self.render(
            "panel/settings/index.html",
            section=section,
            current=current,
            delivery_mode=current.delivery,  # not another process's memory of it
            **{
                name: sent if isinstance(sent, form) else form.showing(current)  # type: ignore[attr-defined]
                for name, form in _FORMS.items()
            },
            securities=SECURITIES,
            fixed={name: gateway_of().preferences.is_fixed(name) for name in ("delivery", "relay_url")},
            domain_relays=[(one, current.domain_relays.get(one.id)) for one in domains.live(db.session())],
            email=current_admin().email,
            refused=[domain for domain in domains.live(db.session()) if not domain.may_send],
            ladder=[format_duration(lock_duration(level, current.lockout_first)) for level in range(4)],
            facts=_facts(settings),
            certificate=_certificate(settings),
            shared_counters=settings.redis_url is not None,
        )


_FORMS: dict[str, type[PanelForm]] = {
    "delivery_form": DeliveryForm,
    "lockout_form": LockoutForm,
    "requests_form": RequestLimitsForm,
    "notifications_form": NotificationsForm,
    "retention_form": RetentionForm,
}
_SAVED = {
    "lockout": "The lock settings were saved.",
    "requests": "The limits on requests were saved.",
    "notifications": "The notification settings were saved.",
    "retention": "From now on mail is kept as long as that.",
}
_TOLD = {
    "capture": "Mail is captured from now on: it is kept and shown, and nothing leaves this server.",
    "relay": "Mail accepted from now on leaves through the relay. What was captured before stays here.",
    "mx": "Mail accepted from now on is delivered directly. What was captured before stays here.",
}


def _read() -> Current:
    """The settings as they are stored at this moment."""
    return gateway_of().preferences.read(db.session())


def _facts(settings: Settings) -> list[tuple[str, str, str]]:
    """What only the server's own configuration changes: name, value, variable."""
    smtp, dialect = settings.smtp_endpoint, gateway_of().database.engine.dialect
    version = getattr(dialect, "server_version_info", None) or ()
    ports = [f"{smtp.starttls_port} (STARTTLS)"] if smtp.starttls_port else []
    ports += [f"{smtp.tls_port} (SSL/TLS)"] if smtp.tls_port else []
    return [
        ("First retry after", format_duration(settings.retry_first), "POSTLATCH_RETRY_FIRST"),
        ("Given up after", format_duration(settings.retry_max_age), "POSTLATCH_RETRY_MAX_AGE"),
        ("Largest message", f"{settings.max_message_mb} MB", "POSTLATCH_MAX_MESSAGE_MB"),
        ("Most recipients of a message", f"{settings.max_recipients}", "POSTLATCH_MAX_RECIPIENTS"),
        ("SMTP connections, in all", f"{settings.max_connections}", "POSTLATCH_MAX_CONNECTIONS"),
        (
            "SMTP connections from one address",
            f"{settings.max_connections_per_ip}",
            "POSTLATCH_MAX_CONNECTIONS_PER_IP",
        ),
        ("Name of this server", settings.hostname, "POSTLATCH_HOSTNAME"),
        ("Programs connect to", f"{smtp.host}, port {' or '.join(ports)}", "POSTLATCH_PUBLIC_SMTP"),
        ("Panel and API", settings.base_url, "POSTLATCH_PUBLIC_URL"),
        ("Database", f"{dialect.name} {'.'.join(map(str, version))}", "POSTLATCH_DATABASE_URL"),
        ("Versions", f"Python {platform.python_version()}, Flask-Admin {flask_admin.__version__}", ""),
    ]


def _certificate(settings: Settings) -> tuple[datetime | None, bool]:
    """When the TLS certificate ends, and whether it is self-signed; None when it can't be read."""
    found = read_certificate(settings.tls_files[0])
    if found is None:
        return None, False
    return found.not_valid_after_utc, found.issuer == found.subject
