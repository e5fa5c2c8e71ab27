"""Alerts: what the bell rang for, newest first."""

from __future__ import annotations

from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose

from webapp.admin.base import PanelView
from webapp.admin.sessions import current_admin
from webapp.app import gateway_of
from webapp.core.models import utcnow
from webapp.core.services import alerts
from webapp.core.services.housekeeping import LOGS_KEPT
from webapp.db import db


class AlertsView(PanelView, BaseView):
    """``/admin/alerts/``. The bell in the top bar leads here; seeing the page marks everything as read."""

    domain_scoped = False
    intro = "What this server wants you to know. Owners can also have it by mail: see Settings."

    def __init__(self) -> None:
        super().__init__(name="Alerts", endpoint="alerts", url="alerts", menu_icon_value="bell")

    def is_visible(self) -> bool:
        """The bell is its menu entry."""
        return False

    @expose("/")
    def index(self) -> ResponseReturnValue:
        """The list."""
        session, now, admin = db.session(), utcnow(), current_admin()
        seen_at = admin.alerts_seen_at or admin.created_at
        page = self.render(
            "panel/alerts/index.html",
            alerts=alerts.newest(session),
            lasting=alerts.STATES,
            seen_at=seen_at,
            kept_days=LOGS_KEPT.days,
            mailed_from=gateway_of().preferences.current().alerts_sender,
            unread_alerts=0,
        )
        alerts.mark_seen(session, admin, now)
        session.commit()
        return page
