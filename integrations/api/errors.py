"""Refusals and failures below the API's prefix, each noted under the reference that its answer carries."""

from __future__ import annotations

import structlog
from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from integrations.api.access import peer
from integrations.api.body import largest_body
from integrations.api.linger import discard_body
from integrations.api.replies import refusal
from webapp.core.database import UNAVAILABLE
from webapp.core.rules.refusals import Reason, Refused, new_reference
from webapp.core.services.gateway import Gateway

log = structlog.get_logger(__name__)


def register(blueprint: Blueprint, gateway: Gateway) -> None:
    """Answer every refusal and failure below the blueprint's prefix, also where no route is."""
    settings = gateway.settings

    @blueprint.errorhandler(Refused)
    def refused(error: Refused) -> Response:
        credential = g.get("credential")
        gateway.refuse(error, peer(settings), credential=credential, name=g.get("presented"))
        discard_body(request, most=2 * largest_body(settings), known=credential is not None)
        return refusal(error)

    @blueprint.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        response = refused(_as_refused(error, settings.max_message_mb))
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response

    @blueprint.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        if isinstance(error, UNAVAILABLE):
            return refused(Refused(Reason.STORAGE, cause="database_unavailable"))
        internal = Refused(Reason.INTERNAL, cause=type(error).__name__)
        log.error("request_failed", path=request.path, reference=internal.reference, exc_info=error)
        return refused(internal)

    @blueprint.before_app_request
    def unknown_route() -> Response | None:
        # No route, so no blueprint, so the app would answer with a page.
        below = request.path == blueprint.url_prefix or request.path.startswith(f"{blueprint.url_prefix}/")
        if not below or not isinstance(request.routing_exception, HTTPException):
            return None
        return http_error(request.routing_exception)

    @blueprint.after_request
    def finish(response: Response) -> Response:
        response.headers.setdefault("X-Request-Id", new_reference())
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def _as_refused(error: HTTPException, limit_mb: int) -> Refused:
    status = error.code or 500
    if isinstance(error, MethodNotAllowed):
        allowed = sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"})
        return Refused(Reason.METHOD_NOT_ALLOWED, allowed=", ".join(allowed))
    if status == 404 or status < 400:  # a redirect to a path with a slash leads nowhere here
        return Refused(Reason.NOT_FOUND)
    if status == 413:
        return Refused(Reason.TOO_LARGE, limit_mb=limit_mb)
    if status == 415:
        return Refused(Reason.UNSUPPORTED_TYPE)
    if status >= 500:
        return Refused(Reason.INTERNAL, cause=type(error).__name__)
    return Refused(Reason.BAD_REQUEST, problem=(error.description or error.name).rstrip("."))
