"""What admins do to mail: for one message, for those chosen in the list, for all that a filter finds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from flask import abort, flash, redirect, request
from flask.typing import ResponseReturnValue
from flask_admin import expose
from flask_admin.actions import action
from sqlalchemy.orm import Query

from webapp.admin.client import client_ip
from webapp.admin.sessions import actor
from webapp.app import gateway_of
from webapp.core.models import Message, utcnow
from webapp.core.rules.statuses import Status
from webapp.core.services import audit, deliveries_control
from webapp.core.services.deliveries_control import WAITING, Control
from webapp.core.services.errors import ServiceError
from webapp.db import db

#: Messages that one transaction changes: others' writes get their turn in between.
CHUNK = 100
#: Messages that one click changes at most.
MOST = 10_000


class _Deed(NamedTuple):
    """One of the changes; `told` says what was done to how many."""

    do: Control
    on: Collection[Status]
    told: str


DEEDS = {
    "retry": _Deed(deliveries_control.retry_now, {Status.DEFERRED}, "Trying again now: {}."),
    "hold": _Deed(deliveries_control.hold, WAITING - {Status.HELD}, "Held: {} until you release it."),
    "release": _Deed(deliveries_control.release, {Status.HELD}, "Released: {}."),
    "cancel": _Deed(deliveries_control.cancel, WAITING, "Cancelled: {} will not get it."),
}


class MessageControlsMixin:
    """Adds the changes to the view of messages."""

    @expose("/<message_id>/<any(retry, hold, release, cancel):deed>", methods=("POST",))
    def control(self, message_id: str, deed: str) -> ResponseReturnValue:
        """One message."""
        message = self.message_or_404(message_id)
        self._tell(deed, _do(deed, [message.id]))
        return redirect(self.get_url(".message", message_id=message_id), 303)

    @expose("/<message_id>/again", methods=("POST",))
    def again(self, message_id: str) -> ResponseReturnValue:
        """Send a copy of one message to those who didn't get it, or to all."""
        message = self.message_or_404(message_id)
        session, captured = db.session(), gateway_of().preferences.current().delivery == "capture"
        try:
            new_id = deliveries_control.send_again(
                session, message, client_ip=client_ip(), captured=captured, now=utcnow()
            )
        except ServiceError as error:
            session.rollback()
            flash(str(error), "danger")
            return redirect(self.get_url(".message", message_id=message_id), 303)
        audit.record(session, actor(), "send_again", message, copy=new_id)
        session.commit()
        flash("This is the copy that was just queued.", "success")
        return redirect(self.get_url(".message", message_id=new_id), 303)

    @expose("/all/<any(retry, hold, release, cancel):deed>", methods=("POST",))
    def control_all(self, deed: str) -> ResponseReturnValue:
        """All messages that the list's search and filters, which are in the URL, find."""
        view_args = self._get_list_extra_args()
        if not view_args.search and not view_args.filters:
            abort(404)
        query = self.get_query().filter(Message.status.in_(DEEDS[deed].on))
        if view_args.search:
            query = self._apply_search(query, None, {}, {}, view_args.search)[0]
        if view_args.filters:
            query = self._apply_filters(query, None, {}, {}, view_args.filters)[0]
        ids = _ids(query)
        self._tell(deed, _do(deed, ids), more=len(ids) == MOST)
        return redirect(self.get_url(".index_view", **request.args), 303)

    @action("retry", "Try again now")
    def action_retry(self, ids: list[str]) -> None:
        """The chosen ones."""
        self._act("retry", ids)

    @action("hold", "Hold")
    def action_hold(self, ids: list[str]) -> None:
        """The chosen ones."""
        self._act("hold", ids)

    @action("release", "Release")
    def action_release(self, ids: list[str]) -> None:
        """The chosen ones."""
        self._act("release", ids)

    @action("cancel", "Cancel", "Recipients who don't have these messages yet will not get them. This can't be undone.")
    def action_cancel(self, ids: list[str]) -> None:
        """The chosen ones."""
        self._act("cancel", ids)

    def _act(self, deed: str, ids: list[str]) -> None:
        self._tell(deed, _do(deed, [row.id for row in self.rows(ids)]))

    @staticmethod
    def _tell(deed: str, count: int, *, more: bool = False) -> None:
        if not count:
            flash("Nothing of this was waiting any more.", "info")
            return
        flash(DEEDS[deed].told.format("1 recipient" if count == 1 else f"{count} recipients"), "success")
        if more:
            flash(f"These were the newest {MOST} messages: do it again for the rest.", "info")


def _do(deed: str, ids: Sequence[str]) -> int:
    """Change some messages, a few in each transaction; return how many recipients it was for."""
    session, total = db.session(), 0
    for start in range(0, len(ids), CHUNK):
        some = ids[start : start + CHUNK]
        count = DEEDS[deed].do(session, some, utcnow())
        if count:
            others = {"messages": len(some)} if len(some) > 1 else {}
            audit.record(session, actor(), deed, session.get_one(Message, max(some)), recipients=count, **others)
        session.commit()
        total += count
    return total


def _ids(query: Query) -> list[str]:
    found = query.with_entities(Message.id).order_by(Message.id.desc()).limit(MOST)
    return [row.id for row in found]
