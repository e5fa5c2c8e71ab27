"""``flask doctor``: looks at all that must be right for mail to go in and out."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from webapp.blocklist_job import check_zones
from webapp.certificate import CERTIFICATE_SOON, read_certificate
from webapp.core.database import UNAVAILABLE
from webapp.core.models import BlocklistZone, Delivery, utcnow
from webapp.core.rules.blocklists import HEALTH_WORDS, Health
from webapp.core.rules.duration import format_duration
from webapp.core.services import domain_checks, domains, heartbeats
from webapp.core.services.gateway import Gateway
from webapp.net import resolver
from webapp.settings import Bind, Settings


class Finding(NamedTuple):
    """What one look found. `text` says what to do unless `state` is ``ok``."""

    part: str
    state: Literal["ok", "warning", "error"]
    text: str


def examine(gateway: Gateway) -> list[Finding]:
    """Look at everything, one `Finding` or more a part."""
    settings = gateway.settings
    return [
        *_settings(settings),
        _dns(settings),
        _certificate(settings),
        *_database(gateway),
        *_domains(gateway),
        *_blocklists(gateway),
        *(
            _port(bind)
            for bind in (settings.http_bind, settings.smtp_bind, settings.smtps_bind, settings.bounce_bind)
            if bind
        ),
    ]


def _settings(settings: Settings) -> list[Finding]:
    known = {f"POSTLATCH_{name.upper()}" for name in type(settings).model_fields}
    unknown = sorted(name for name in os.environ if name.startswith("POSTLATCH_") and name not in known)
    text = f"unknown variables: {', '.join(unknown)}: look for a slip of the pen"
    findings = [Finding("settings", "warning", text) if unknown else Finding("settings", "ok", "all are understood")]
    if settings.delivery == "relay" and not settings.relay_url:
        findings.append(Finding("relay", "warning", "POSTLATCH_RELAY_URL is not set: set the relay in the panel"))
    if "." not in settings.hostname:
        text = f"{settings.hostname} is no full name: set POSTLATCH_HOSTNAME, such as mail.example.org"
        findings.append(Finding("host name", "warning", text))
    return findings


def _dns(settings: Settings) -> Finding:
    try:
        resolver.txt("postlatch-doctor.invalid", settings.dns)
    except resolver.LookupFailed as error:
        return Finding("DNS", "warning", f"the resolver does not answer: {error}")
    return Finding("DNS", "ok", "the resolver answers")


def _blocklists(gateway: Gateway) -> list[Finding]:
    """Test each zone now, as the worker does every half-hour."""
    try:
        gateway.blocklists.rules()
        with gateway.database.session() as session:
            rows = session.scalars(select(BlocklistZone).where(BlocklistZone.state != "off")).all()
    except SQLAlchemyError:
        return []  # said already
    if not rows:
        return [Finding("blocklists", "ok", "none is used: connecting addresses are not looked up")]
    checkups = check_zones([row.zone for row in rows], gateway.settings.dns)
    return [
        Finding(
            f"blocklist {row}",
            "ok" if checkup.health is Health.GOOD else "warning",
            f"{HEALTH_WORDS[checkup.health]} {checkup.said}",
        )
        for row, checkup in zip(rows, checkups, strict=True)
    ]


def _certificate(settings: Settings) -> Finding:
    path = settings.tls_files[0]
    certificate = read_certificate(path)
    if certificate is None:
        return Finding("certificate", "error", f"{path} can't be read: make run makes one, or set POSTLATCH_TLS_CERT")
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    if left <= timedelta(0):
        return Finding("certificate", "error", f"{path} has expired: renew it")
    if left < CERTIFICATE_SOON:
        return Finding("certificate", "warning", f"{path} expires in {format_duration(left)}: renew it")
    return Finding("certificate", "ok", f"{path} is good for {left.days} days")


def _database(gateway: Gateway) -> list[Finding]:
    try:
        with gateway.database.session() as session:
            now = utcnow()
            alive = heartbeats.alive(session, now)
            late = session.scalar(select(func.count()).where(Delivery.due_at < now - timedelta(minutes=5)))
    except UNAVAILABLE as error:
        return [Finding("database", "error", f"it can't be used: {getattr(error, 'orig', None) or error}")]
    findings = [Finding("database", "ok", f"{gateway.database.engine.dialect.name} answers")]
    for process in ("submission", "worker"):
        if alive.get(process):
            findings.append(Finding(process, "ok", "is at work"))
        else:
            findings.append(Finding(process, "error", "is not at work: start it"))
    if late:
        findings.append(Finding("queue", "warning", f"{late} deliveries are over 5 minutes late"))
    else:
        findings.append(Finding("queue", "ok", "nothing waits longer than it should"))
    return findings


def _domains(gateway: Gateway) -> list[Finding]:
    """The domains whose light is not green, briefly: `flask domain check` says more."""
    try:
        with gateway.database.session() as session:
            reports = [domain_checks.report(session, gateway, one) for one in domains.live(session)]
    except UNAVAILABLE:
        return []
    bad = [f"{one.domain.name} ({one.light})" for one in reports if one.light in {"red", "yellow"}]
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        return [Finding("domains", "warning", f"{', '.join(bad[:5])}{more}: flask domain check NAME says why")]
    return [Finding("domains", "ok", "none lacks a record")] if reports else []


def _port(bind: Bind) -> Finding:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind.host, bind.host)  # noqa: S104 - compared, not bound
    try:
        socket.create_connection((host, bind.port), timeout=3).close()
    except OSError as error:
        return Finding(f"port {bind.port}", "error", f"{bind} does not answer ({error.strerror or error})")
    return Finding(f"port {bind.port}", "ok", f"{bind} answers")
