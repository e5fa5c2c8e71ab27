"""Why was it refused? A reference or an address in, plain words out."""

from __future__ import annotations

from collections.abc import Sequence

from flask import flash, request
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose
from sqlalchemy import select
from sqlalchemy.orm import lazyload

from webapp.admin.base import PanelView, may
from webapp.admin.sessions import actor
from webapp.app import gateway_of
from webapp.core.models import CredentialRow, utcnow
from webapp.core.rules.blocklists import site_of
from webapp.core.rules.explanations import explain
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.services import locks, mending, trace
from webapp.core.services.errors import ServiceError
from webapp.core.services.why import recent, why
from webapp.db import db

_LONGEST_QUESTION, _MOST_CHOICES = 4_000, 2_000


class WhyView(PanelView, BaseView):
    """``/admin/why/``"""

    domain_scoped = False
    heading = "Why was it refused?"
    intro = (
        "Every refusal carries a reference, such as [ref ABCDEFGHJK]. Paste the error message or the log that has it. "
        "Without one, give the address that has trouble, and the credential that it uses."
    )
    menu_group = "Protection"

    def __init__(self) -> None:
        super().__init__(name="Why refused?", endpoint="why", url="why", menu_icon_value="help-circle")

    @expose("/")
    def index(self) -> str:
        """The question, its answer step by step, and the newest refusals."""
        question = request.args.get("q", "")[:_LONGEST_QUESTION].strip()
        session, gateway, now = db.session(), gateway_of(), utcnow()
        answer = why(session, question, now) if question else None
        chosen, steps = self._chosen(), []
        if answer and answer.refusal:
            steps = trace.trace(session, gateway, answer.refusal, now)
        elif answer and answer.ip and chosen:
            steps = trace.present_state(session, gateway, answer.ip, chosen, now)
        return self.render(
            "panel/why/index.html",
            question=question,
            answer=answer,
            chosen=chosen,
            credentials=self._credentials(),
            steps=steps,
            may=may,
            latest=[] if question else recent(session),
            in_force=locks.in_force(session, now, limit=5),
            days_kept=gateway_of().preferences.current().logs_kept.days,
            explain=explain,
            blocklist_site=site_of,
            may_exempt=may("owner"),
        )

    @expose("/mend", methods=("POST",))
    def mend(self) -> ResponseReturnValue:
        """Put right what refused, with one click."""
        action, session = request.form.get("action", ""), db.session()
        if not may(mending.ROLES.get(action, "owner")):
            raise Refused(Reason.ROLE)
        try:
            told = mending.mend(session, actor(), action, request.form, now=utcnow())
            session.commit()
        except ServiceError as error:
            session.rollback()
            flash(str(error), "danger")
        else:
            flash(told, "success")
        return self.back()

    @staticmethod
    def _credentials() -> Sequence[CredentialRow]:
        """Those to choose from. A choice, since a key that somebody pastes must not stand in an address."""
        live = CredentialRow.deleted_at.is_(None)
        query = select(CredentialRow).where(live).order_by(CredentialRow.kind.desc(), CredentialRow.name)
        return db.session.scalars(query.options(lazyload(CredentialRow.secrets)).limit(_MOST_CHOICES)).all()

    @staticmethod
    def _chosen() -> CredentialRow | None:
        asked = request.args.get("credential", "")
        if not asked.isascii() or not asked.isdigit() or len(asked) > 9:
            return None
        row = db.session.get(CredentialRow, int(asked))
        return row if row and not row.deleted_at else None
