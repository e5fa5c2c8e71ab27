"""Refusals and failures as pages, each with its reference."""

from __future__ import annotations

import structlog
from flask import Flask, Response, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from webapp.app import gateway_of
from webapp.core.database import UNAVAILABLE
from webapp.core.rules.refusals import Reason, Refused

from .client import is_fetch, peer

log = structlog.get_logger(__name__)

#: Seconds after which to try again while the database is gone.
RETRY_AFTER = 10
_HEADINGS = {
    400: "This can't be read",
    403: "Not for your role",
    404: "There is nothing here",
    405: "That is not possible here",
    413: "Too much at once",
    429: "Too many failed attempts",
    500: "Something went wrong",
    503: "The database can't be reached",
}
_SENTENCES = {
    404: "The page was moved or deleted, or its address has a typing error.",
    413: "What was sent is larger than this server takes.",
    503: "Your pages will be back as soon as the database is: try again in a moment. Nothing was lost.",
}


def init_errors(app: Flask) -> None:
    """Answer what no other door answers itself. A door's blueprint may register its own handlers."""
    app.register_error_handler(Refused, refusal_page)
    app.register_error_handler(CSRFError, lambda _: refusal_page(Refused(Reason.FORM_EXPIRED, cause="csrf")))
    app.register_error_handler(HTTPException, _http_error)
    for error in UNAVAILABLE:
        app.register_error_handler(error, _unavailable)
    app.register_error_handler(Exception, _unexpected)


def refusal_page(refused: Refused, *, status: int | None = None, heading: str | None = None) -> ResponseReturnValue:
    """Note *refused* under its reference, and show it."""
    gateway_of().refuse(refused, peer())
    status = status or refused.reason.answer.http_status
    if refused.reason is Reason.FORM_EXPIRED:
        heading = "This form had expired"
    page = render_template(
        "panel/error_fragment.html" if is_fetch() else "panel/error.html",
        status=status,
        heading=heading or _HEADINGS.get(status, "This was refused"),
        sentence=_SENTENCES.get(status, refused.sentence),
        reference=refused.reference,
    )
    return stamp(make_response(page, status), refused)


def stamp(response: Response, refused: Refused) -> Response:
    """Give *response* the headers of a refusal: its reference, and when to try again."""
    response.headers["X-Request-Id"] = refused.reference
    if refused.retry_after is not None or response.status_code == 503:
        response.headers["Retry-After"] = str(refused.retry_after or RETRY_AFTER)
    return response


def _http_error(error: HTTPException) -> ResponseReturnValue:
    if error.code is None or error.code < 400:  # a redirect of the routing
        return error
    if error.code == 404:
        refused = Refused(Reason.NOT_FOUND)
    elif error.code == 405:
        refused = Refused(Reason.METHOD_NOT_ALLOWED, allowed=", ".join(error.valid_methods or ()))
    elif error.code >= 500:
        refused = Refused(Reason.INTERNAL)
    else:
        refused = Refused(Reason.BAD_REQUEST, problem=(error.description or error.name).rstrip("."))
    response = make_response(refusal_page(refused, status=error.code))
    for name, value in error.get_headers(request.environ):
        if name not in {"Content-Type", "Content-Length"}:
            response.headers[name] = value
    return response


def _unavailable(error: Exception) -> ResponseReturnValue:
    log.warning("database_unavailable", path=request.path, error=type(error).__name__)
    return refusal_page(Refused(Reason.STORAGE, cause="database_unavailable"))


def _unexpected(error: Exception) -> ResponseReturnValue:
    refused = Refused(Reason.INTERNAL, cause=type(error).__name__)
    log.error("page_failed", path=request.path, reference=refused.reference, exc_info=error)
    return refusal_page(refused)
