"""Being told of events: hooks, and the list for those who rather ask."""

from __future__ import annotations

import json

from flask import Blueprint, Response, request

from integrations.api import coerce
from integrations.api.access import credential, peer
from integrations.api.body import largest_body, read_body
from integrations.api.replies import reply
from integrations.api.schemas_hooks import EventQuery, HookOut, HookRequest
from webapp.core.database import serialise
from webapp.core.models import Domain
from webapp.core.rules.api_keys import PREFIX
from webapp.core.rules.events import EventName
from webapp.core.services import events, hooks
from webapp.core.services.audit import Actor
from webapp.core.services.errors import ServiceError
from webapp.core.services.gateway import Gateway
from webapp.net.targets import TargetGuard, TargetRefused


def register(blueprint: Blueprint, gateway: Gateway) -> None:
    """Add the endpoints."""
    guard = TargetGuard.of(gateway.settings)

    def actor() -> Actor:
        return Actor(f"API key {PREFIX}{credential().name}", peer(gateway.settings).ip)

    @blueprint.post("/hooks")
    def subscribe() -> Response:
        fields, _ = read_body(request, limit=largest_body(gateway.settings))
        wanted = HookRequest.read(fields)
        asking = credential()
        try:
            target = str(guard.check_url(wanted.target_url))
            with gateway.database.session() as session:
                serialise(session, f"hooks {asking.id}")  # of two that ask at once, the second finds the first's
                hook, secret = hooks.subscribe(
                    session,
                    actor(),
                    gateway.vault,
                    credential_id=asking.id,
                    domain=session.get_one(Domain, asking.domain_id),
                    target_url=target,
                    events=wanted.events,
                )
                session.flush()
                answer = HookOut(id=hook.id, target_url=wanted.target_url, events=wanted.events, secret=secret)
        except TargetRefused as refused:
            coerce.refuse("target_url", str(refused).rstrip("."))
        except ServiceError as error:
            coerce.refuse(error.field or "target_url", str(error).rstrip("."))
        return reply(answer, 201)

    @blueprint.delete("/hooks/<hook_id>")
    def unsubscribe(hook_id: str) -> Response:
        # Whether it is there, and whose it is, is no business of a key that didn't make it.
        if hook_id.isascii() and hook_id.isdigit() and len(hook_id) < 10:
            with gateway.database.session() as session:
                hooks.unsubscribe(session, actor(), hook_id=int(hook_id), credential_id=credential().id)
        return Response(status=204)

    @blueprint.get("/events")
    def latest() -> Response:
        asked = EventQuery.read(request.args)
        names = asked.event or tuple(EventName)
        with gateway.database.session() as session:
            found = events.latest(session, credential().domain_id, limit=asked.limit, names=names)
        return Response(json.dumps(found), mimetype="application/json")
