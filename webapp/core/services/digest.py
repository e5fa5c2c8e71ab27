"""The digest: what the bell rang for, mailed to the owners, at most once an hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.core.database import serialise
from webapp.core.models import Admin, Alert, Domain
from webapp.core.rules.addresses import Mailbox, domain_name, domain_of
from webapp.core.rules.compose import Draft, compose
from webapp.core.services.notices import queue_notice
from webapp.core.services.preferences import Current

#: Two digests are at least so far apart.
PACE = timedelta(hours=1)
#: What is older was overtaken by events: a digest that could not leave for a day tells of the last day.
TOLD_WITHIN = timedelta(days=1)
#: Alerts that one digest lists; it counts the others.
MOST_LISTED = 50


def mail_digest(session: Session, current: Current, now: datetime, *, base_url: str, hostname: str) -> str | None:
    """Queue a digest of what was not mailed yet, and return its message's id; None when there is nothing to do.

    It needs a sender (a setting) at a domain whose mail may leave, and an owner. In capture mode nothing is mailed.
    """
    if current.delivery == "capture" or not current.alerts_sender:
        return None
    serialise(session, "digest")
    last = session.scalar(select(func.max(Alert.mailed_at)))
    if last and now - last < PACE:
        return None
    alerts = session.scalars(
        select(Alert).where(Alert.mailed_at.is_(None), Alert.last_at > now - TOLD_WITHIN).order_by(Alert.last_at)
    ).all()
    domain = session.scalar(
        select(Domain).where(Domain.name == domain_name(domain_of(current.alerts_sender)), Domain.deleted_at.is_(None))
    )
    owners = session.scalars(
        select(Admin.email).where(Admin.role == "owner", Admin.disabled_at.is_(None)).order_by(Admin.id)
    ).all()
    if not alerts or not owners or domain is None or not domain.may_send:
        return None
    for alert in alerts:
        alert.mailed_at = now
    return queue_notice(
        session,
        compose(_draft(alerts, current.alerts_sender, owners, base_url)),
        domain=domain,
        envelope_from=current.alerts_sender,
        recipients=owners,
        hostname=hostname,
        captured=False,
        now=now,
    )


def _draft(alerts: Sequence[Alert], sender: str, owners: Sequence[str], base_url: str) -> Draft:
    lines = [_line(alert) for alert in alerts[-MOST_LISTED:]]
    if left_out := len(alerts) - len(lines):
        lines.append(f"And {left_out} more.")
    text = "\n\n".join([*lines, f"All alerts: {base_url}/admin/alerts/"])
    count = "1 alert" if len(alerts) == 1 else f"{len(alerts)} alerts"
    return Draft(
        sender=Mailbox(sender, "Postlatch"),
        to=[Mailbox(email) for email in owners],
        subject=f"Postlatch: {count}",
        text=text + "\n",
        headers={"Auto-Submitted": "auto-generated"},  # RFC 3834 section 5
    )


def _line(alert: Alert) -> str:
    times = f" ({alert.times} times)" if alert.times > 1 else ""
    over = " It is over." if alert.ended_at else ""
    return f"{alert.last_at:%Y-%m-%d %H:%M} UTC: {alert.text}{times}{over}"
