"""The shapes of the API. What validates a request also describes it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from integrations.api import coerce
from webapp.core.rules.addresses import Mailbox
from webapp.core.rules.compose import AttachedFile
from webapp.core.rules.controls import check_idempotency_key, check_tag, parse_metadata
from webapp.core.rules.refusals import Reason, Refused


def _by(read: Callable[[str, Any], Any]) -> BeforeValidator:
    """Have *read* make a field's value. What it refuses passes through Pydantic as it is."""

    def validate(value: Any, info: ValidationInfo) -> Any:
        return read("from" if info.field_name == "sender" else str(info.field_name), value)

    return BeforeValidator(validate)


def _tag(name: str, value: Any) -> str:
    return check_tag(coerce.text(name, value))


def _idempotency_key(name: str, value: Any) -> str:
    return check_idempotency_key(coerce.text(name, value))


def _metadata(name: str, value: Any) -> dict[str, str]:
    return parse_metadata(coerce.mapping(name, value))


def _send_at(name: str, value: Any) -> Any:
    return coerce.text(name, value) if isinstance(value, list) else value


class SendRequest(BaseModel):
    """``POST /v1/send``."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    sender: Annotated[Mailbox, _by(coerce.mailbox)] = Field(alias="from")
    to: Annotated[list[Mailbox], _by(coerce.mailboxes)] = []
    cc: Annotated[list[Mailbox], _by(coerce.mailboxes)] = []
    bcc: Annotated[list[Mailbox], _by(coerce.mailboxes)] = []
    reply_to: Annotated[list[Mailbox], _by(coerce.mailboxes)] = []
    subject: Annotated[str, _by(coerce.line)] = ""
    text: Annotated[str | None, _by(coerce.text)] = None
    html: Annotated[str | None, _by(coerce.text)] = None
    attachments: Annotated[list[AttachedFile], _by(coerce.attachments)] = []
    headers: Annotated[dict[str, str], _by(coerce.headers)] = {}
    tag: Annotated[str | None, _by(_tag)] = None
    metadata: Annotated[dict[str, str], _by(_metadata)] = {}
    send_at: Annotated[Any, _by(_send_at)] = None
    idempotency_key: Annotated[str | None, _by(_idempotency_key)] = None

    @classmethod
    def read(cls, fields: dict[str, Any]) -> SendRequest:
        """Validate *fields*. Raise ``Refused(INVALID_FIELD)`` naming the field."""
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for name in fields:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}" if near else f"known are {', '.join(known)}"
                raise Refused(Reason.INVALID_FIELD, field=name[:40], problem=f"There is no field {name[:40]}: {hint}")
        if "from" not in fields:
            raise Refused(Reason.INVALID_FIELD, field="from", problem="from is missing: give the sender's address")
        return cls.model_validate(fields)

    @property
    def recipients(self) -> tuple[str, ...]:
        """All that get it, in order."""
        return tuple(mailbox.email for mailbox in (*self.to, *self.cc, *self.bcc))

    def digest(self) -> bytes:
        """Stands for the whole request, however it was written."""
        plain = self.model_dump(exclude={"attachments", "idempotency_key"}) | {
            "attachments": [asdict(file) | {"content": sha256(file.content).hexdigest()} for file in self.attachments]
        }
        return sha256(json.dumps(plain, sort_keys=True, default=asdict).encode()).digest()


class Accepted(BaseModel):
    """The receipt of ``POST /v1/send``."""

    id: str
    status: str
    domain: str
    from_email: str
    to: list[str]
    to_count: int
    created_at: datetime


class Recipient(BaseModel):
    """One recipient of a message."""

    email: str
    status: str
    smtp_code: int | None
    reason: str | None
    attempts: int
    next_try_at: datetime | None


class MessageOut(BaseModel):
    """One message."""

    id: str
    status: str
    from_email: str
    subject: str
    tag: str | None
    created_at: datetime
    recipients: list[Recipient]
