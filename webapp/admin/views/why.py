"""Why was it refused? A reference or an address in, plain words out."""

from __future__ import annotations

from flask import request
from flask_admin import BaseView, expose

from webapp.admin.base import PanelView, may
from webapp.app import gateway_of
from webapp.core.models import utcnow
from webapp.core.rules.blocklists import site_of
from webapp.core.rules.explanations import explain
from webapp.core.services import locks
from webapp.core.services.why import recent, why
from webapp.db import db

_LONGEST_QUESTION = 2_000


class WhyView(PanelView, BaseView):
    """``/admin/why/``"""

    domain_scoped = False
    heading = "Why was it refused?"
    intro = (
        "Every refusal carries a reference, such as [ref ABCDEFGHJK]. Paste it here, or the whole error message, "
        "or the IP address that had trouble."
    )

    def __init__(self) -> None:
        super().__init__(name="Why refused?", endpoint="why", url="why", menu_icon_value="help-circle")

    @expose("/")
    def index(self) -> str:
        """The question, its answer, and the newest refusals."""
        question = request.args.get("q", "")[:_LONGEST_QUESTION].strip()
        session, now = db.session(), utcnow()
        return self.render(
            "panel/why/index.html",
            question=question,
            answer=why(session, question, now) if question else None,
            latest=[] if question else recent(session),
            in_force=locks.in_force(session, now, limit=5),
            days_kept=gateway_of().preferences.current().logs_kept.days,
            explain=explain,
            blocklist_site=site_of,
            may_exempt=may("owner"),
        )
