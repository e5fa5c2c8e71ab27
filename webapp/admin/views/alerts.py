"""Alerts: what the bell rang for, newest first."""

from __future__ import annotations

from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose

from webapp.admin.base import PanelView, may
from webapp.admin.sessions import current_admin
from webapp.app import gateway_of
from webapp.core.models import Alert, ApiKeyRow, CredentialRow, utcnow
from webapp.core.services import alerts
from webapp.core.services.housekeeping import LOGS_KEPT
from webapp.db import db


class AlertsView(PanelView, BaseView):
    """``/admin/alerts/``. The bell in the top bar leads here; seeing the page marks everything as read."""

    domain_scoped = False
    intro = "What this server wants you to know."

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
            alerts=[(alert, self._about(alert)) for alert in alerts.newest(session)],
            lasting=alerts.STATES,
            seen_at=seen_at,
            kept_days=LOGS_KEPT.days,
            mailed_from=gateway_of().preferences.current().alerts_sender,
            unread_alerts=0,
        )
        alerts.mark_seen(session, admin, now)
        session.commit()
        return page

    def _about(self, alert: Alert) -> tuple[str, str] | None:  # noqa: PLR0911 - one a kind
        """Where to see to it: a button's words and address. None when it is over, or not for this person."""
        match alert.kind:
            case _ if alert.ended_at:
                return None
            case "lockout":
                return "See locks", self.get_url("locks.index")
            case "new_network":
                kind, _, name = alert.subject.partition(" ")
                return "See credential", self._credential(kind == "api_key", name)
            case "expiry":
                row = db.session.get(CredentialRow, int(alert.subject))
                return ("See credential", self._credential(isinstance(row, ApiKeyRow), row.name)) if row else None
            case "webhook":
                return "See webhook", self.get_url("webhooks.hook", hook_id=int(alert.subject))
            case "domain":
                return "See domain", self.get_url("domains.domain", domain_id=alert.domain_id)
            case "queue":
                return "See messages", self.get_url("messages.index_view", flt0_status_is="waiting")
            case "blocklist" if may("manager"):
                return "See blocklists", self.get_url("blocklists.index_view")
            case "certificate" if may("owner"):
                return "See settings", self.get_url("settings.section", section="server")
        return None

    def _credential(self, is_key: bool, name: str) -> str:
        return self.get_url(f"{'api_keys' if is_key else 'smtp_users'}.index_view", search=name)
