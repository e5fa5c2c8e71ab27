"""The shapes of hooks and events."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from integrations.api import coerce
from integrations.api.forms import FormValues
from integrations.api.schemas import Body, Limit, Query, _by
from webapp.core.rules.events import EventName
from webapp.core.rules.refusals import printable

_KNOWN = ", ".join(EventName)


def _url(name: str, value: Any) -> str:
    return coerce.line(name, value).strip()


def event_names(name: str, value: Any) -> list[EventName]:
    """Names of events: a text with commas between, a list, or a list's JSON as a text."""
    value = coerce.unstringified(name, value)
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list):
        coerce.refuse(name, f"{name} must be a list of events: {_KNOWN}")
    names = [part for item in value for part in (item.split(",") if isinstance(value, FormValues) else [item])]
    found = {_event(name, item) for item in names if item not in ("", None)}
    if not found:
        coerce.refuse(name, f"{name} is empty: choose at least one of {_KNOWN}")
    return [event for event in EventName if event in found]


def _event(name: str, item: Any) -> EventName:
    text = item.strip().lower() if isinstance(item, str) else ""
    if text not in set(EventName):
        coerce.refuse(name, f"There is no event {printable(item, 40)}: known are {_KNOWN}")
    return EventName(text)


class HookRequest(Body):
    """An address that wants to be told of events of the key's domain."""

    target_url: Annotated[str, _by(_url)] = Field(
        examples=["https://hooks.example.org/catch/1"], description="The https address to which events are posted."
    )
    events: Annotated[list[EventName], _by(event_names, list[EventName] | str)] = Field(
        examples=[["delivered", "bounced", "failed"]],
        min_length=1,
        description="The events that it wants, as a list or as a text with commas.",
    )


class HookOut(BaseModel):
    """A hook. `secret` verifies what it gets, as Standard Webhooks say."""

    id: int
    target_url: str
    events: list[EventName]
    secret: str


class EventQuery(Query):
    """``GET /v1/events``."""

    event: Annotated[list[EventName] | None, _by(event_names, str)] = Field(
        None, examples=["delivered"], description=f"Events of this kind only, or of several with commas: {_KNOWN}."
    )
    limit: Annotated[int, _by(coerce.limit, Limit)] = Field(50, description="How many, at most.")


class EventOut(BaseModel):
    """An event, as hooks get it and as lists show it. Every key is always there."""

    id: str
    event: EventName
    occurred_at: str = Field(json_schema_extra={"format": "date-time"})
    message_id: str | None
    domain: str
    from_email: str | None
    recipient: str | None
    subject: str | None
    tag: str | None
    bounce_type: Literal["hard", "soft", "block"] | None
    smtp_code: int | None
    reason: str | None
    metadata_json: str | None = Field(description="The message's metadata, an object's JSON as a text.")
    credential_type: Literal["smtp_user", "api_key"] | None
    credential_name: str | None
    credential_note: str | None
    ip: str | None
