"""The shapes of the API. What validates a request also describes it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationInfo, WithJsonSchema

from integrations.api import coerce, inputs
from integrations.api.attachments import read_attachments
from webapp.core.rules.addresses import Mailbox
from webapp.core.rules.compose import AttachedFile
from webapp.core.rules.controls import check_idempotency_key, check_tag, parse_instant, parse_metadata
from webapp.core.rules.linked_files import LinkedFile
from webapp.core.rules.refusals import Reason, Refused, printable
from webapp.core.rules.statuses import Status

#: An instant as answers write it: ISO 8601 with its offset, to the millisecond.
Instant = Annotated[
    datetime,
    PlainSerializer(lambda when: when.astimezone(UTC).isoformat(timespec="milliseconds"), return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


def _by(read: Callable[[str, Any], Any], written: Any = str) -> BeforeValidator:
    """Have *read* make a field's value from what is *written*. What it refuses passes through Pydantic as it is."""

    def validate(value: Any, info: ValidationInfo) -> Any:
        return read("from" if info.field_name == "sender" else str(info.field_name), value)

    return BeforeValidator(validate, json_schema_input_type=written)


def _tag(name: str, value: Any) -> str:
    return check_tag(coerce.text(name, value))


def _idempotency_key(name: str, value: Any) -> str:
    return check_idempotency_key(coerce.text(name, value))


def _metadata(name: str, value: Any) -> dict[str, str]:
    return parse_metadata(coerce.mapping(name, value))


def _send_at(name: str, value: Any) -> datetime:
    return parse_instant(coerce.text(name, value) if isinstance(value, list) else value)


def _status(name: str, value: Any) -> str:
    if value not in set(Status):
        coerce.refuse(name, f"{name} must be one of {', '.join(Status)}")
    return str(value)


#: How many rows a list gives.
Limit = Annotated[int, Field(ge=1, le=coerce.HIGHEST_LIMIT)]


class Body(BaseModel):
    """What a request brings."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Self:
        """Validate *fields*. Raise ``Refused(INVALID_FIELD)`` naming the field.

        An unknown field is refused, not ignored: it would be a misspelt one's content that gets lost.
        """
        known = cls.names()
        for name in fields:
            if name not in known:
                shown = printable(name, 40)
                near = difflib.get_close_matches(name[:40].lower(), known, n=1)
                hint = f"did you mean {near[0]}" if near else f"known are {', '.join(known)}"
                raise Refused(Reason.INVALID_FIELD, field=shown, problem=f"There is no field {shown}: {hint}")
        for name, field in zip(known, cls.model_fields.values(), strict=True):
            if field.is_required() and name not in fields:
                what = str(field.description).rstrip(".")
                problem = f"{name} is missing: give {what[0].lower()}{what[1:]}"
                raise Refused(Reason.INVALID_FIELD, field=name, problem=problem)
        return cls.model_validate(fields)

    @classmethod
    def names(cls) -> list[str]:
        """The fields, as a request names them."""
        return [field.alias or name for name, field in cls.model_fields.items()]


class SendRequest(Body):
    """A message to send. It needs `from`, a recipient, and `text`, `html` or a file."""

    sender: Annotated[Mailbox, _by(coerce.mailbox, inputs.Address)] = Field(
        alias="from",
        examples=["Shop <shop@example.com>"],
        description="An address at the key's domain.",
    )
    to: Annotated[list[Mailbox], _by(coerce.mailboxes, inputs.Addresses)] = Field([], examples=["ann@example.org"])
    cc: Annotated[list[Mailbox], _by(coerce.mailboxes, inputs.Addresses)] = Field([], description="As `to`.")
    bcc: Annotated[list[Mailbox], _by(coerce.mailboxes, inputs.Addresses)] = Field(
        [], description="As `to`; nobody else sees them."
    )
    reply_to: Annotated[list[Mailbox], _by(coerce.mailboxes, inputs.Addresses)] = Field(
        [], description="As `to`: where answers go."
    )
    subject: Annotated[str, _by(coerce.line)] = Field("", examples=["Your order"])
    text: Annotated[str | None, _by(coerce.text)] = Field(
        None, examples=["It is on its way."], description="When missing, it is made from `html`."
    )
    html: Annotated[str | None, _by(coerce.text)] = None
    attachments: Annotated[list[AttachedFile | LinkedFile], _by(read_attachments, inputs.Attachments)] = []
    headers: Annotated[dict[str, str], _by(coerce.headers, inputs.Headers)] = {}
    tag: Annotated[str | None, _by(_tag)] = Field(None, description="At most 100 characters; events give it back.")
    metadata: Annotated[dict[str, str], _by(_metadata, inputs.Metadata)] = {}
    send_at: Annotated[datetime | None, _by(_send_at, inputs.SendAt)] = None
    idempotency_key: Annotated[str | None, _by(_idempotency_key)] = Field(
        None, description="A repeat with the same key within 24 hours brings no second message. Also as a header."
    )

    @property
    def recipients(self) -> tuple[str, ...]:
        """All that get it, in order."""
        return tuple(mailbox.email for mailbox in (*self.to, *self.cc, *self.bcc))

    def digest(self) -> bytes:
        """Stands for the whole request, however it was written: as JSON in any order, or as a form."""
        plain = self.model_dump(mode="json", exclude={"attachments", "idempotency_key"}) | {
            "attachments": [_digested(file) for file in self.attachments]
        }
        return sha256(json.dumps(plain, sort_keys=True).encode()).digest()


def _digested(file: AttachedFile | LinkedFile) -> dict[str, str]:
    """What makes *file* another one."""
    if isinstance(file, LinkedFile):
        return file.as_dict() | {"marker": ""}
    return asdict(file) | {"content": sha256(file.content).hexdigest()}


class Query(BaseModel):
    """Questions in a URL. The first of a name counts, an empty one doesn't, and unknown ones are ignored."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    @classmethod
    def read(cls, asked: Mapping[str, str]) -> Self:
        """Validate *asked*. Raise ``Refused(INVALID_FIELD)`` naming the question."""
        for name in cls.model_fields:
            if not asked.get(name, "").isprintable():
                coerce.refuse(name, f"{name} has characters that can't be searched for")
        return cls.model_validate({name: asked[name] for name in cls.model_fields if asked.get(name)})


class MessageQuery(Query):
    """``GET /v1/messages``."""

    recipient: Annotated[str | None, _by(coerce.address)] = Field(
        None, examples=["ann@example.org"], description="Messages to this address only, whatever its case."
    )
    status: Annotated[Status | None, _by(_status, Status)] = Field(
        None, examples=["captured"], description="Messages that show this status only."
    )
    limit: Annotated[int, _by(coerce.limit, Limit)] = Field(50, description="How many, at most.")


class Receipt(BaseModel):
    """The answer of ``POST /v1/send``. `to_count` counts all recipients, also those of cc and bcc."""

    id: str
    status: Status
    domain: str
    from_email: str
    to: list[str]
    to_count: int
    created_at: Instant


class Me(BaseModel):
    """``GET /v1/me``: the key, its domain and this server."""

    id: int
    name: str
    domain: str
    base_url: str


class DomainOut(BaseModel):
    """A sending domain."""

    id: int
    name: str


class DomainList(BaseModel):
    """``GET /v1/domains``."""

    data: list[DomainOut]


class Recipient(BaseModel):
    """One recipient of a message. `reason` says why it is where it is, `next_try_at` when it is tried next."""

    email: str
    status: Status
    smtp_code: int | None
    reason: str | None
    attempts: int
    next_try_at: Instant | None


class MessageOut(BaseModel):
    """One message."""

    id: str
    status: Status
    from_email: str
    subject: str
    tag: str | None
    created_at: Instant
    recipients: list[Recipient]


class MessageList(BaseModel):
    """``GET /v1/messages``: newest first."""

    data: list[MessageOut]


class Problem(BaseModel):
    """What was refused: a stable code, a sentence with its reference, and the request's field if it is one's fault."""

    code: str
    message: str
    field: str | None


class ErrorOut(BaseModel):
    """Every answer of 400 and above."""

    error: Problem
