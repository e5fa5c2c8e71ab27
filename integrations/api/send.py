"""``POST /v1/send``."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from integrations.api import coerce
from integrations.api.access import credential, peer
from integrations.api.body import largest_body, read_body
from integrations.api.forms import Files
from integrations.api.replies import reply
from integrations.api.schemas import Receipt, SendRequest
from webapp.core.models import utcnow
from webapp.core.rules.compose import Draft, compose
from webapp.core.rules.controls import parse_send_at
from webapp.core.rules.linked_files import LinkedFile
from webapp.core.rules.refusals import Reason, Refused, printable
from webapp.core.rules.statuses import Status
from webapp.core.rules.submission import Submission
from webapp.core.services.gateway import Gateway
from webapp.net.targets import TargetGuard, TargetRefused


def register(blueprint: Blueprint, gateway: Gateway) -> None:
    """Add the endpoint."""

    @blueprint.post("/send")
    def send() -> Response:
        fields, files = read_body(request, limit=largest_body(gateway.settings))
        wanted = SendRequest.read(_with_header_key(_with_files(fields, files)))
        if not wanted.recipients:
            raise Refused(Reason.NO_RECIPIENTS, field="to")
        if wanted.text is None and wanted.html is None and not wanted.attachments:
            coerce.refuse("text", "The message is empty: give text or html")
        accepted = gateway.submit(_submission(gateway, wanted)).result()
        receipt = Receipt(
            id=accepted.id,
            status=Status(accepted.status),
            domain=accepted.domain,
            from_email=accepted.from_email,
            to=[mailbox.email for mailbox in wanted.to],
            to_count=len(accepted.recipients),
            created_at=accepted.created_at,
        )
        return reply(receipt, 202)


def _submission(gateway: Gateway, wanted: SendRequest) -> Submission:
    links = tuple(file for file in wanted.attachments if isinstance(file, LinkedFile))
    guard = TargetGuard.of(gateway.settings)
    for link in links:
        try:
            guard.check_url(link.url)
        except TargetRefused as refusal:
            coerce.refuse("attachments", f"A file can't be fetched: {str(refusal).rstrip('.')}")
    draft = Draft(
        sender=wanted.sender,
        to=wanted.to,
        cc=wanted.cc,
        reply_to=wanted.reply_to,
        subject=wanted.subject,
        text=wanted.text,
        html=wanted.html,
        headers=wanted.headers,
        attachments=[file.stand_in if isinstance(file, LinkedFile) else file for file in wanted.attachments],
    )
    return Submission(
        credential=credential(),
        peer=peer(gateway.settings),
        envelope_from=wanted.sender.email,
        recipients=wanted.recipients,
        source=compose(draft),
        tag=wanted.tag,
        metadata=wanted.metadata,
        send_at=None if wanted.send_at is None else parse_send_at(wanted.send_at.timestamp(), utcnow()),
        idempotency_key=wanted.idempotency_key,
        idempotency_digest=wanted.digest(),
        links=links,
    )


def _with_header_key(fields: dict[str, Any]) -> dict[str, Any]:
    """Take the key from the header ``Idempotency-Key``. Raise `Refused` when the body has another one."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if not key:
        return fields
    if "idempotency_key" in fields and coerce.text("idempotency_key", fields["idempotency_key"]) != key:
        coerce.refuse("idempotency_key", "The header Idempotency-Key and the field idempotency_key differ: give one")
    return fields | {"idempotency_key": key}


def _with_files(fields: dict[str, Any], files: Files) -> dict[str, Any]:
    """Put the files of a multipart form, whatever they are called, beside the attachments that its fields have."""
    if not files:
        return fields
    for name, _ in files:
        if name != "attachments" and name in SendRequest.names():
            coerce.refuse(printable(name), f"{name} came as a file: send it as a text")
    given = coerce.unstringified("attachments", fields.get("attachments", []))
    return fields | {"attachments": [*(given if isinstance(given, list) else [given]), *(file for _, file in files)]}
