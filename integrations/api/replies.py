"""Answers as JSON, with the headers that their status calls for."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel

from integrations.api.schemas import ErrorOut, Problem
from webapp.core.rules.refusals import Refused

#: After a 429 or 503 that knows no better, clients wait so long, in seconds.
RETRY_AFTER = 10


def reply(shape: BaseModel, status: int = 200) -> Response:
    """*shape* as the answer."""
    return Response(shape.model_dump_json(), status=status, mimetype="application/json")


def refusal(refused: Refused) -> Response:
    """The refusal, under its reference (RFC 6750 section 3, RFC 9110 section 10.2.3)."""
    said = refused.reason.answer
    problem = Problem(code=said.code, message=refused.http_message, field=refused.field)
    response = reply(ErrorOut(error=problem), said.http_status)
    response.headers["X-Request-Id"] = refused.reference
    if said.http_status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if said.http_status in {429, 503}:
        response.headers["Retry-After"] = str(refused.retry_after or RETRY_AFTER)
    return response
