"""What the API can do, a line for each: the description's table of contents. A test holds it to the real routes."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from integrations.api.schemas import DomainList, Me, MessageList, MessageOut, MessageQuery, Receipt, SendRequest
from integrations.api.schemas_hooks import EventOut, EventQuery, HookOut, HookRequest

#: What any call with a key may be answered with, beside its own.
USUAL_ERRORS = frozenset({401, 403, 429, 500, 503})
#: What a call with a body may be answered with, too.
BODY_ERRORS = frozenset({400, 413, 415, 422})


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path below ``/v1``.

    `answer` is what comes with `status`: a shape (a bare list of such with `many`), a media type, or nothing. `errors`
    are those that this call has beside the usual ones; with `public` no key is asked for.
    """

    method: str
    path: str
    name: str
    summary: str
    description: str
    answer: type[BaseModel] | str | None
    status: int = 200
    many: bool = False
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    body_types: tuple[str, ...] = ("application/json",)
    idempotent: bool = False
    errors: frozenset[int] = frozenset()
    public: bool = False

    @property
    def problems(self) -> list[int]:
        """All its error statuses."""
        if self.public:
            return sorted(self.errors)
        return sorted(USUAL_ERRORS | self.errors | (BODY_ERRORS if self.body else frozenset()))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/me",
        "me",
        "Test a key",
        "Which key this is, and the domain that it sends for.",
        Me,
    ),
    Operation(
        "GET",
        "/domains",
        "domains",
        "List the sending domains",
        "The domains that the key may send for: exactly one.",
        DomainList,
    ),
    Operation(
        "POST",
        "/send",
        "send",
        "Send an e-mail",
        "Takes one message in. With the 202 it is on disk; how its delivery goes on, the message and its events tell. "
        "Files named by their web address are fetched after that.",
        Receipt,
        status=202,
        body=SendRequest,
        body_types=("application/json", "application/x-www-form-urlencoded", "multipart/form-data"),
        idempotent=True,
        errors=frozenset({409}),
    ),
    Operation(
        "GET",
        "/messages",
        "messages",
        "Find messages",
        "The messages of the key's domain, newest first, whatever way they came.",
        MessageList,
        query=MessageQuery,
        errors=frozenset({422}),
    ),
    Operation(
        "GET",
        "/messages/{id}",
        "message",
        "Look at a message",
        "One message, with the state of each recipient.",
        MessageOut,
        errors=frozenset({404}),
    ),
    Operation(
        "GET",
        "/messages/{id}/source",
        "source",
        "Download a message's source",
        "The message as it is sent. 409 while files that it names by their web address are still to be fetched.",
        "message/rfc822",
        errors=frozenset({404, 409}),
    ),
    Operation(
        "GET",
        "/events",
        "events",
        "List events",
        "What happened to the mail of the key's domain, newest first, each as a hook gets it. Kept for 30 days.",
        EventOut,
        many=True,
        query=EventQuery,
        errors=frozenset({422}),
    ),
    Operation(
        "POST",
        "/hooks",
        "subscribe",
        "Be told of events",
        "Events of the key's whole domain are posted to an address, one a request, signed as Standard Webhooks say "
        "with the secret in the answer. Asking again for the same address and events brings the same hook. It stops "
        "while its key is disabled, expired or deleted, and when the address answers 410.",
        HookOut,
        status=201,
        body=HookRequest,
        body_types=("application/json", "application/x-www-form-urlencoded", "multipart/form-data"),
    ),
    Operation(
        "DELETE",
        "/hooks/{id}",
        "unsubscribe",
        "Be told no more",
        "Deletes a hook that this key made; also fine when it is gone already.",
        None,
        status=204,
    ),
    Operation(
        "GET",
        "/openapi.json",
        "openapi",
        "This description",
        "The API in OpenAPI 3.1, made from what checks the requests.",
        "application/json",
        public=True,
    ),
    Operation(
        "GET",
        "/docs",
        "docs",
        "This page",
        "The same to read.",
        "text/html",
        public=True,
    ),
)
