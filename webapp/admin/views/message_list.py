"""The message list's search and filters, and what its rows need beyond the message itself."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from typing import Any

from flask_admin.model.filters import BaseFilter
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Query, Session, lazyload

from webapp.admin.scope import current_scope
from webapp.core.models import CredentialRow, Delivery, Message
from webapp.core.rules.identifiers import first_message_id
from webapp.core.rules.statuses import FINAL, Status
from webapp.db import db

WAITING = [status for status in Status if status not in FINAL]
PROBLEMS = [Status.HELD, Status.DEFERRED, Status.FAILED, Status.BOUNCED]
#: What the status filter offers: several at once, or one.
STATUS_CHOICES: dict[str, list[Status]] = {
    "waiting": WAITING,
    "problem": PROBLEMS,
    **{status.value: [status] for status in Status},
}
_STATUS_WORDS = {"waiting": "still waiting", "problem": "a problem"}
_MOST_TERMS, _LONGEST_TERM = 6, 200
_YEARS = range(1970, 9999)


def sent_to(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Messages that have a recipient for which *condition* holds."""
    return Message.id.in_(select(Delivery.message_id).where(condition))


def matching(search: str) -> list[ColumnElement[bool]]:
    """One condition a word of *search*, each of which must hold: in the subject, the sender or a recipient."""
    return [
        or_(
            Message.subject.icontains(term, autoescape=True),
            Message.from_email.icontains(term, autoescape=True),
            sent_to(Delivery.recipient.icontains(term, autoescape=True)),
            Message.id == term,
        )
        for term in (word[:_LONGEST_TERM] for word in search.split()[:_MOST_TERMS])
    ]


class _Filter(BaseFilter):
    """A filter whose condition is a function of the value."""

    said = "contains"

    def operation(self) -> str:
        """How the filter's form calls it."""
        return self.said

    def apply(self, query: Query, value: Any, _alias: Any = None) -> Query:
        """Flask-Admin's hook."""
        return query.filter(self.condition(value))

    def condition(self, value: Any) -> ColumnElement[bool]:
        """What must hold of a message."""
        raise NotImplementedError


class Recipient(_Filter):
    """Part of a recipient's address."""

    def condition(self, value: str) -> ColumnElement[bool]:
        """Of any recipient."""
        return sent_to(Delivery.recipient.icontains(value[:_LONGEST_TERM], autoescape=True))


class Sender(_Filter):
    """Part of the sender's address."""

    def condition(self, value: str) -> ColumnElement[bool]:
        """Of the From line or the envelope."""
        part = value[:_LONGEST_TERM]
        return or_(
            Message.from_email.icontains(part, autoescape=True), Message.envelope_from.icontains(part, autoescape=True)
        )


class Subject(_Filter):
    """Part of the subject."""

    def condition(self, value: str) -> ColumnElement[bool]:
        """As it is shown."""
        return Message.subject.icontains(value[:_LONGEST_TERM], autoescape=True)


class StatusIs(_Filter):
    """One status, or a group of them."""

    said = "is"

    def __init__(self, name: str) -> None:
        super().__init__(name, options=[(key, _STATUS_WORDS.get(key, key)) for key in STATUS_CHOICES])

    def clean(self, value: str) -> list[Status]:
        """Raise `ValueError` for another word."""
        if value not in STATUS_CHOICES:
            raise ValueError(value)
        return STATUS_CHOICES[value]

    def condition(self, value: list[Status]) -> ColumnElement[bool]:
        """By the message's own status."""
        return Message.status.in_(value)


class CredentialIs(_Filter):
    """The credential that brought it, deleted ones too."""

    said = "is"

    def __init__(self, name: str) -> None:
        super().__init__(name, options=[("0", "")])  # the view fills them in

    def clean(self, value: str) -> int:
        """Raise `ValueError` unless it is a key."""
        if not value.isascii() or not value.isdigit() or len(value) > 9:
            raise ValueError(value)
        return int(value)

    def condition(self, value: int) -> ColumnElement[bool]:
        """By its key."""
        return Message.credential_id == value


class _Day(_Filter):
    """A day in UTC. Identifiers sort by time, so that the range needs no other index than theirs."""

    def __init__(self, name: str) -> None:
        super().__init__(name, data_type="datepicker")

    def clean(self, value: str) -> datetime:
        """Raise `ValueError` unless it is ``YYYY-MM-DD``."""
        day = date.fromisoformat(value)
        if day.year not in _YEARS:
            raise ValueError(value)
        return datetime(day.year, day.month, day.day, tzinfo=UTC)


class Since(_Day):
    """That day or later."""

    said = "on or after"

    def condition(self, value: datetime) -> ColumnElement[bool]:
        """From midnight on."""
        return Message.id >= first_message_id(value)


class Until(_Day):
    """That day or earlier."""

    said = "on or before"

    def condition(self, value: datetime) -> ColumnElement[bool]:
        """To the next midnight."""
        return Message.id < first_message_id(value + timedelta(days=1))


def credential_choices() -> list[tuple[str, str]]:
    """The credentials of the chosen domain, live ones first, as the filter offers them."""
    query = select(CredentialRow).options(lazyload(CredentialRow.secrets))
    if chosen := current_scope().domain:
        query = query.where(CredentialRow.domain_id == chosen.id)
    rows = db.session.scalars(query.order_by(CredentialRow.deleted_at.is_not(None), CredentialRow.name))
    return [
        (str(row.id), row.label + (f" ({row.note})" if row.note else "") + (", deleted" if row.deleted_at else ""))
        for row in rows
    ]


def recipients_of(session: Session, message_ids: Collection[str]) -> dict[str, tuple[str, int]]:
    """Of each message, its first recipient and how many more there are; two queries for a page of them."""
    counted = (
        select(Delivery.message_id, func.min(Delivery.id).label("first"), func.count().label("recipients"))
        .where(Delivery.message_id.in_(message_ids))
        .group_by(Delivery.message_id)
        .subquery()
    )
    rows = session.execute(
        select(counted.c.message_id, Delivery.recipient, counted.c.recipients).join(
            Delivery, Delivery.id == counted.c.first
        )
    )
    return {message_id: (recipient, count - 1) for message_id, recipient, count in rows}
