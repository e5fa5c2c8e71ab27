"""Refusals in the API's language: JSON with a code, a sentence, the field and a reference."""

from __future__ import annotations

import structlog
from flask import Blueprint, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from integrations.api.access import peer
from webapp.core.database import UNAVAILABLE
from webapp.core.rules.refusals import Reason, Refused, new_reference
from webapp.core.services.gateway import Gateway

log = structlog.get_logger(__name__)

#: After a 503 clients wait so long, in seconds.
RETRY_AFTER = 10


def register(blueprint: Blueprint, gateway: Gateway) -> None:
    """Answer every refusal and failure below the blueprint's prefix, also where no route is."""

    def refuse(refused: Refused) -> Response:
        gateway.refuse(refused, peer(gateway.settings), credential=g.get("credential"))
        return answer(refused)

    @blueprint.before_app_request
    def unknown_route() -> Response | None:
        below = request.path == blueprint.url_prefix or request.path.startswith(f"{blueprint.url_prefix}/")
        if not below or not isinstance(request.routing_exception, HTTPException):
            return None
        return _from_http(request.routing_exception, refuse)

    @blueprint.errorhandler(Refused)
    def refused(error: Refused) -> Response:
        return refuse(error)

    @blueprint.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        return _from_http(error, refuse)

    @blueprint.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        if isinstance(error, UNAVAILABLE):
            return refuse(Refused(Reason.STORAGE, cause="database_unavailable"))
        internal = Refused(Reason.INTERNAL, cause=type(error).__name__)
        log.error("request_failed", path=request.path, reference=internal.reference, exc_info=error)
        return refuse(internal)

    @blueprint.after_request
    def name_request(response: Response) -> Response:
        response.headers.setdefault("X-Request-Id", new_reference())
        return response


def answer(refused: Refused) -> Response:
    """The refusal as a response, with the headers that its status calls for."""
    said = refused.reason.answer
    response = jsonify(error={"code": said.code, "message": refused.http_message, "field": refused.field})
    response.status_code = said.http_status
    response.headers["X-Request-Id"] = refused.reference
    if said.http_status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if refused.retry_after is not None or said.http_status == 503:
        response.headers["Retry-After"] = str(refused.retry_after or RETRY_AFTER)
    return response


def _from_http(error: HTTPException, refuse: object) -> Response:
    assert callable(refuse)
    if isinstance(error, MethodNotAllowed):
        allowed = sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"})
        response: Response = refuse(Refused(Reason.METHOD_NOT_ALLOWED, allowed=", ".join(allowed)))
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response
    if error.code == 404 or (error.code or 500) < 400:  # a redirect to a path with a slash leads nowhere here
        refused = Refused(Reason.NOT_FOUND)
    elif isinstance(error, RequestEntityTooLarge):
        refused = Refused(Reason.TOO_LARGE, limit_mb="the allowed")
    elif error.code == 415:
        refused = Refused(Reason.UNSUPPORTED_TYPE)
    else:
        refused = Refused(Reason.BAD_REQUEST, problem=(error.description or error.name).rstrip("."))
    made: Response = refuse(refused)
    return made
