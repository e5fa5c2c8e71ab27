"""The start page: what to do next, and what the last day brought."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask_admin import BaseView, expose
from sqlalchemy import exists, func, select

from webapp.admin.base import PanelView
from webapp.admin.scope import current_scope
from webapp.app import gateway_of
from webapp.core.models import CredentialRow, Domain, Message, utcnow
from webapp.core.rules.statuses import Status
from webapp.db import db

#: Those that are always shown; the others only when there are any.
_ALWAYS = (Status.DELIVERED, Status.DEFERRED, Status.BOUNCED, Status.FAILED)


class HomeView(PanelView, BaseView):
    """``/admin/``"""

    def __init__(self) -> None:
        super().__init__(name="Home", endpoint="admin", url="/admin", menu_icon_value="home")

    @expose("/")
    def index(self) -> str:
        """The page."""
        domain = current_scope().domain
        mode = gateway_of().preferences.current().delivery
        return self.render(
            "panel/home.html",
            steps=_steps(),
            counts=_counts(domain, mode),
            mode=mode,
            smtp=gateway_of().settings.smtp_endpoint,
            base_url=gateway_of().settings.base_url,
        )


def _steps() -> dict[str, bool]:
    """Which of the first steps are done, whatever domain is chosen."""
    session = db.session()
    live = CredentialRow.deleted_at.is_(None)

    def any_of(condition: Any) -> bool:
        return bool(session.scalar(select(condition)))

    return {
        "domain": any_of(exists().where(Domain.deleted_at.is_(None))),
        "credential": any_of(exists().where(live)),
        "message": any_of(exists().where(Message.id.is_not(None))),
    }


def _counts(domain: Domain | None, mode: str) -> list[tuple[str, int]]:
    """Messages of the last 24 hours by status, those of *domain* or all."""
    query = select(Message.status, func.count()).where(Message.created_at > utcnow() - timedelta(hours=24))
    if domain:
        query = query.where(Message.domain_id == domain.id)
    found = dict(db.session.execute(query.group_by(Message.status)).all())
    always = (Status.CAPTURED,) if mode == "capture" else _ALWAYS
    return [(status.value, found.get(status, 0)) for status in Status if status in found or status in always]
