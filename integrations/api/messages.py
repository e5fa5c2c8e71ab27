"""What a key may ask about: itself, its domain, and the domain's messages."""

from __future__ import annotations

from flask import Blueprint, Response, request
from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session, selectinload

from integrations.api.access import credential
from integrations.api.replies import reply
from integrations.api.schemas import DomainList, DomainOut, Me, MessageList, MessageOut, MessageQuery, Recipient
from webapp.core.models import CredentialRow, Delivery, Message, UnfinishedMessage
from webapp.core.rules.api_keys import PREFIX
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.statuses import FINAL, Status
from webapp.core.services.gateway import Gateway
from webapp.core.services.notices import DOOR

_WAITING = frozenset(Status) - FINAL - {Status.DELIVERING, Status.HELD}


def register(blueprint: Blueprint, gateway: Gateway) -> None:
    """Add the endpoints."""

    @blueprint.get("/me")
    def me() -> Response:
        asking = credential()
        with gateway.database.session() as session:
            note = session.scalar(select(CredentialRow.note).where(CredentialRow.id == asking.id))
        name = note or PREFIX + asking.name
        return reply(Me(id=asking.id, name=name, domain=asking.domain, base_url=gateway.settings.base_url))

    @blueprint.get("/domains")
    def domains() -> Response:
        return reply(DomainList(data=[DomainOut(id=credential().domain_id, name=credential().domain)]))

    @blueprint.get("/messages")
    def messages() -> Response:
        asked = MessageQuery.read(request.args)
        query = (
            select(Message)
            .where(_visible())
            .options(selectinload(Message.deliveries))
            .order_by(Message.id.desc())
            .limit(asked.limit)
        )
        if asked.recipient:
            theirs = select(Delivery.message_id).where(func.lower(Delivery.recipient) == func.lower(asked.recipient))
            query = query.where(Message.id.in_(theirs))
        if asked.status:
            query = query.where(Message.status == asked.status)
        with gateway.database.session() as session:
            return reply(MessageList(data=[_shown(message) for message in session.scalars(query)]))

    @blueprint.get("/messages/<message_id>")
    def message(message_id: str) -> Response:
        with gateway.database.session() as session:
            return reply(_shown(_find(session, message_id)))

    @blueprint.get("/messages/<message_id>/source")
    def source(message_id: str) -> Response:
        with gateway.database.session() as session:
            found = _find(session, message_id)
            source = gateway.signing.as_sent(session, found)
            unfinished = source is None and session.get(UnfinishedMessage, found.id) is not None
        if unfinished:
            raise Refused(Reason.NOT_READY)
        if source is None:
            raise Refused(Reason.NOT_FOUND)
        # Never shown by a browser: the message may hold anything.
        headers = {"Content-Disposition": f'attachment; filename="{message_id}.eml"'}
        return Response(source, mimetype="message/rfc822", headers=headers)


def _find(session: Session, message_id: str) -> Message:
    found = None
    if message_id.isascii() and message_id.isprintable():
        query = select(Message).where(Message.id == message_id, _visible())
        found = session.scalar(query)
    if found is None:
        raise Refused(Reason.NOT_FOUND)
    return found


def _visible() -> ColumnElement[bool]:
    """The messages of the key's domain, but for what this server wrote to its owners."""
    return and_(Message.domain_id == credential().domain_id, Message.door != DOOR)


def _shown(message: Message) -> MessageOut:
    return MessageOut(
        id=message.id,
        status=Status(message.status),
        from_email=message.from_email,
        subject=message.subject,
        tag=message.tag,
        created_at=message.created_at,
        recipients=[
            Recipient(
                email=delivery.recipient,
                status=Status(delivery.status),
                smtp_code=delivery.smtp_code,
                reason=delivery.reason,
                attempts=delivery.attempts,
                next_try_at=delivery.due_at if delivery.status in _WAITING else None,
            )
            for delivery in message.deliveries
        ],
    )
