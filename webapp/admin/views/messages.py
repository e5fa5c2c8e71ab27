"""Messages: the list, and the page about one with all that became of it."""

from __future__ import annotations

from typing import Any

from flask import get_template_attribute, request
from flask_admin import expose
from markupsafe import Markup
from sqlalchemy import func, select
from sqlalchemy.orm import Query, Session, joinedload, lazyload

from webapp.admin.model_view import PanelModelView
from webapp.admin.scope import ARGUMENT, current_scope
from webapp.app import gateway_of
from webapp.core.models import CredentialRow, Delivery, DeliveryAttempt, Message
from webapp.core.rules.html_view import view_html
from webapp.core.rules.mail_view import MailView, view_mail
from webapp.core.rules.statuses import FINAL, Status
from webapp.core.services import suppressions
from webapp.core.services.deliveries_control import recipients_again
from webapp.db import db

from .message_content import MessageContentMixin
from .message_controls import DEEDS, MessageControlsMixin
from .message_list import (
    CredentialIs,
    Recipient,
    Sender,
    Since,
    StatusIs,
    Subject,
    Until,
    credential_choices,
    matching,
    recipients_of,
)
from .paging import NewestFirst

RECIPIENTS_A_PAGE = 50
MOST_TRIES = 50
#: Octets of source that the page shows; the file has it all.
SOURCE_SHOWN = 200_000
#: Characters of text that the page shows.
TEXT_SHOWN = 500_000
#: The page looks for news by itself: so many seconds after the last while a recipient is in one of `_BUSY`, while
#: others wait longer.
_BUSY = {Status.QUEUED, Status.DELIVERING}
_BUSY_SECONDS, _WAITING_SECONDS = 3, 15
_TABS = ("rendered", "text", "headers", "source")


def _cell(name: str) -> Any:
    def render(view: MessageView, _context: Any, message: Message, _name: str) -> Markup:
        return get_template_attribute("panel/messages/cells.html", name)(message, view)

    return render


class MessageView(MessageControlsMixin, MessageContentMixin, NewestFirst, PanelModelView):
    """``/admin/messages/``"""

    noun, menu_icon_value = "message", "mail"
    intro = "Everything that was accepted, newest first, and what became of it."
    list_template = "panel/messages/list.html"

    column_list = ("created_at", "from_email", "subject", "recipients", "status", "credential", "door", "domain")
    column_labels = {
        "created_at": "Accepted",
        "from_email": "From",
        "recipients": "To",
        "door": "By",
        "credential": "Credential",
        "domain": "Domain",
    }
    column_formatters = {
        name: _cell(name)
        for name in ("created_at", "from_email", "subject", "recipients", "status", "credential", "door")
    }
    column_sortable_list = ()
    column_searchable_list = ("subject",)  # what is searched is `matching`
    column_filters = (
        StatusIs("Status"),
        Recipient("Recipient"),
        Sender("Sender"),
        Subject("Subject"),
        CredentialIs("Credential"),
        Since("Date"),
        Until("Date"),
    )
    named_filter_urls = True

    def __init__(self) -> None:
        super().__init__(Message, db, name="Messages", endpoint="messages", url="messages")

    @property
    def page_tabs(self) -> list[dict[str, Any]]:
        """Ready-made filters."""
        chosen = request.args.get("flt0_status_is")

        def tab(name: str, value: str | None) -> dict[str, Any]:
            return {
                "name": name,
                "url": self.get_url(".index_view", flt0_status_is=value),
                "active": chosen == value,
            }

        return [tab("All", None), tab("Waiting", "waiting"), tab("Problems", "problem")]

    def visible(self, query: Query) -> Query:
        """Those of the domain that the URL names; else also those of deleted domains."""
        chosen = current_scope().domain if request.args.get(ARGUMENT) else None
        query = query.options(
            joinedload(Message.domain), joinedload(Message.credential).options(lazyload(CredentialRow.secrets))
        )
        return query.filter(Message.domain_id == chosen.id) if chosen else query

    def search_placeholder(self) -> str:
        """What the search looks at."""
        return "Search subject, sender, recipient"

    def _apply_search(self, query: Query, count_query: Any, joins: Any, count_joins: Any, search: str) -> Any:
        return query.filter(*matching(search)), count_query, joins, count_joins

    def _get_filter_groups(self) -> Any:
        groups = super()._get_filter_groups()
        groups["Credential"][0]["options"] = credential_choices()
        return groups

    def rows_ready(self, rows: list[Message]) -> None:
        """Give each row what its cell says of its recipients."""
        found = recipients_of(db.session(), [row.id for row in rows])
        for row in rows:
            row.to = found.get(row.id, ("", 0))

    @expose("/<message_id>/")
    def message(self, message_id: str) -> str:
        """The page about one message."""
        message = self.message_or_404(message_id)
        source = gateway_of().signing.as_sent(db.session(), message)
        mail = view_mail(source) if source is not None else None
        tab = _tab(mail)
        return self.render(
            "panel/messages/message.html",
            message=message,
            source=source,
            mail=mail,
            tab=tab,
            tabs=_TABS,
            again=len(recipients_again(message)) if source is not None else 0,
            html_left_out=_left_out(mail) if tab == "rendered" else 0,
            source_shown=SOURCE_SHOWN,
            text_shown=TEXT_SHOWN,
            **_progress(db.session(), message),
        )

    @expose("/<message_id>/progress")
    def progress(self, message_id: str) -> str:
        """Its recipients and attempts alone: the page asks for them while something is going on."""
        message = self.message_or_404(message_id)
        return self.render("panel/messages/progress.html", message=message, **_progress(db.session(), message))


def _tab(mail: MailView | None) -> str:
    """The tab that the URL names, else the first that has something."""
    asked = request.args.get("show")
    if asked in _TABS:
        return asked
    return "rendered" if mail and mail.html is not None else "text"


def _left_out(mail: MailView | None) -> int:
    """How many remote pictures the frame does without."""
    return view_html(mail.html, mail.pictures).left_out if mail and mail.html else 0


def _news_after(statuses: set[Status]) -> int | None:
    """In how many seconds the page asks again; None once nothing more will happen."""
    if statuses <= FINAL:
        return None
    return _BUSY_SECONDS if statuses & _BUSY else _WAITING_SECONDS


def _progress(session: Session, message: Message) -> dict[str, Any]:
    """Recipients, a page of them, and the newest attempts."""
    mine = Delivery.message_id == message.id
    counts = dict(session.execute(select(Delivery.status, func.count()).where(mine).group_by(Delivery.status)).all())
    total = sum(counts.values())
    pages = max(1, -(-total // RECIPIENTS_A_PAGE))
    page = min(max(request.args.get("recipients", 0, type=int), 0), pages - 1)
    rows = session.scalars(
        select(Delivery).where(mine).order_by(Delivery.id).limit(RECIPIENTS_A_PAGE).offset(page * RECIPIENTS_A_PAGE)
    ).all()
    tries = session.execute(
        select(DeliveryAttempt, Delivery.recipient)
        .join(Delivery, Delivery.id == DeliveryAttempt.delivery_id)
        .where(mine)
        .order_by(DeliveryAttempt.id.desc())
        .limit(MOST_TRIES)
    ).all()
    keys = {row.id: suppressions.Key.of(message.domain_id, row.recipient) for row in rows}
    suppressed = suppressions.among(session, keys.values())
    return {
        "recipients": rows,
        "suppressed": {id_ for id_, key in keys.items() if key in suppressed},
        "recipient_count": total,
        "recipient_page": page,
        "recipient_pages": pages,
        "status_counts": [(status.value, counts[status]) for status in Status if status in counts],
        "tries": tries,
        "most_tries": MOST_TRIES,
        "news_after": _news_after({Status(status) for status in counts}),
        "deeds": {name for name, deed in DEEDS.items() if deed.on & counts.keys()},
    }
