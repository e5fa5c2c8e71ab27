"""What nobody reports by itself: the worker looks at it every minute, and rings the bell when it is not well."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.certificate import CERTIFICATE_SOON, ensure_certificate, read_certificate
from webapp.core.models import BlocklistZone, CredentialRow, Delivery, Domain, SmtpUser, utcnow
from webapp.core.rules.blocklists import zone_label
from webapp.core.rules.duration import format_duration
from webapp.core.services import alerts
from webapp.core.services.digest import mail_digest
from webapp.core.services.gateway import Gateway
from webapp.settings import Settings
from webapp.worker import Job, every

SECONDS = 60.0
#: A credential that stops to work within so long is worth a word.
CREDENTIAL_SOON = timedelta(days=14)
#: A queue whose head has been due for so long doesn't drain.
QUEUE_LATE = timedelta(minutes=15)


def watch_job(gateway: Gateway) -> Job:
    """Looks, rings, and mails the digest."""

    def look() -> None:
        with suppress(OSError):  # what is wrong with the folder shows in the certificate
            ensure_certificate(gateway.settings)
        with gateway.database.session() as session:
            now = utcnow()
            _watch_certificate(session, gateway.settings, now)
            _watch_queue(session, now)
            _watch_credentials(session, now)
            _watch_blocklists(session, now)
            settings = gateway.settings
            mail_digest(
                session,
                gateway.preferences.current(),
                now,
                base_url=settings.base_url,
                hostname=settings.hostname,
            )

    return every("watch", SECONDS, look)


def _watch_certificate(session: Session, settings: Settings, now: datetime) -> None:
    certificate = read_certificate(settings.tls_files[0])
    if certificate and certificate.not_valid_after_utc - now > CERTIFICATE_SOON:
        alerts.ended(session, "certificate", now)
        return
    ends = certificate.not_valid_after_utc if certificate else None
    if ends is None:
        text = "The TLS certificate can't be read: mail programs can't connect safely. Check POSTLATCH_TLS_CERT."
    elif ends <= now:
        text = f"The TLS certificate expired on {ends:%Y-%m-%d}: mail programs refuse to connect. Renew it."
    else:
        text = f"The TLS certificate expires on {ends:%Y-%m-%d}: renew it before mail programs refuse to connect."
    alerts.holds(session, "certificate", "TLS", text, now)


def _watch_queue(session: Session, now: datetime) -> None:
    late, oldest = session.execute(
        select(func.count(), func.min(Delivery.due_at)).where(Delivery.due_at < now - QUEUE_LATE)
    ).one()
    if not late or oldest is None:
        alerts.ended(session, "queue", now)
        return
    mail = "1 recipient's mail waits" if late == 1 else f"The mail of {late} recipients waits"
    text = (
        f"{mail} though it is due, the oldest for {format_duration(now - oldest)}: "
        "check that the worker runs (flask doctor)."
    )
    alerts.holds(session, "queue", "deliveries", text, now)


def _watch_credentials(session: Session, now: datetime) -> None:
    soon = session.scalars(
        select(CredentialRow)
        .join(Domain, Domain.id == CredentialRow.domain_id)
        .where(
            CredentialRow.expires_at.between(now, now + CREDENTIAL_SOON),
            CredentialRow.disabled_at.is_(None),
            CredentialRow.deleted_at.is_(None),
            Domain.deleted_at.is_(None),
        )
    ).all()
    for row in soon:
        what = "SMTP user" if isinstance(row, SmtpUser) else "API key"
        note = f" ({row.note})" if row.note else ""
        text = (
            f"The {what} {row.label}{note} of {row.domain.name} expires on {row.expires_at:%Y-%m-%d}: give it a later "
            "date, or what sends with it stops then."
        )
        alerts.holds(session, "expiry", str(row.id), text, now, domain_id=row.domain_id)
    alerts.ended(session, "expiry", now, still=[str(row.id) for row in soon])


def _watch_blocklists(session: Session, now: datetime) -> None:
    failing = session.scalars(
        select(BlocklistZone).where(BlocklistZone.failing_since.is_not(None), BlocklistZone.state != "off")
    ).all()
    for zone in failing:
        what = "gives wrong answers, so it refuses nobody until it is right again" if zone.demoted_at else "is not well"
        text = f"The blocklist {zone_label(zone.zone)} {what}: {zone.said.rstrip('.')}. See Blocklists."
        alerts.holds(session, "blocklist", zone_label(zone.zone), text, now)
    alerts.ended(session, "blocklist", now, still=[zone_label(zone.zone) for zone in failing])
