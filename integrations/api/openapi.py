"""The API's description in OpenAPI 3.1, made from the very models that validate requests and write answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from integrations.api.operations import OPERATIONS, Operation
from integrations.api.schemas import ErrorOut
from webapp.core.rules.controls import LONGEST_IDEMPOTENCY_KEY

Json = dict[str, Any]
_Model = type[BaseModel]

_PROBLEMS = {
    400: "The request can't be read.",
    401: "The key is missing, unknown, expired or revoked.",
    403: "The key may not be used from this address.",
    404: "There is nothing by that id.",
    409: "Not in this state: see the sentence.",
    413: "The message is too large.",
    415: "The body is of a type that is not taken here.",
    422: "A field is wrong: the error names it.",
    429: "Too many requests, or failed attempts, or mail: wait as long as Retry-After says.",
    500: "Something went wrong in the server.",
    503: "Mail can't be taken right now: nothing was lost, try again after Retry-After.",
}
_ABOUT = """\
Send e-mail, see what became of it, and be told of events.

Every error is `{"error": {"code", "message", "field"}}`, with a sentence that says what to do. Its reference, also in
the header `X-Request-Id`, is explained in the panel under *Why was it refused?*
"""
_HEADERS: Json = {
    "X-Request-Id": {
        "description": "The reference to give when asking why.",
        "schema": {"type": "string", "pattern": "^[A-HJ-NP-Z2-9]{10}$"},
    },
    "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer", "minimum": 1}},
    "WWW-Authenticate": {"description": "RFC 6750.", "required": True, "schema": {"type": "string"}},
}
_KEYS: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "basic": {"type": "http", "scheme": "basic", "description": "The user `api`, with the key as its password."},
}


def describe(base_url: str) -> Json:
    """The OpenAPI document of the server at *base_url*."""
    shapes, schemas = _schemas()
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(f"/v1{operation.path}", {})[operation.method.lower()] = _operation(operation, shapes)
    return {
        "openapi": "3.1.1",
        "info": {"title": "Postlatch", "version": "1", "description": _ABOUT},
        "servers": [{"url": base_url}],
        "security": [{name: []} for name in _KEYS],
        "paths": paths,
        "components": {"schemas": schemas, "headers": _HEADERS, "securitySchemes": _KEYS},
    }


def _models() -> Iterator[tuple[_Model, Literal["validation", "serialization"]]]:
    yield ErrorOut, "serialization"
    for operation in OPERATIONS:
        if operation.body:
            yield operation.body, "validation"
        if operation.query:
            yield operation.query, "validation"
        if isinstance(operation.answer, type):
            yield operation.answer, "serialization"


def _schemas() -> tuple[dict[_Model, Json], Json]:
    """Each model's reference, and all the schemas that they refer to."""
    found, defined = models_json_schema(list(_models()), ref_template="#/components/schemas/{model}")
    schemas: Json = {name: _tidy(schema) for name, schema in defined["$defs"].items()}
    for operation in OPERATIONS:
        if operation.query:
            schemas.pop(operation.query.__name__)  # its fields stand in the operation
    return {model: found[model, mode] for model, mode in _models()}, schemas


def _tidy(schema: Any) -> Any:
    """Leave out titles, which only repeat the names, and defaults that mean "nothing given"."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    dull = {
        name
        for name, value in schema.items()
        if (name == "title" and isinstance(value, str)) or (name == "default" and value in (None, "", [], {}))
    }
    return {name: _tidy(value) for name, value in schema.items() if name not in dull}


def _operation(operation: Operation, shapes: dict[_Model, Json]) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "parameters": list(_parameters(operation)),
        "responses": {
            str(operation.status): _answer(operation, shapes),
            **{str(status): _problem(status, shapes) for status in operation.problems},
        },
    }
    if operation.public:
        described["security"] = []
    if operation.body:
        described["requestBody"] = {
            "required": True,
            "content": {kind: _body(kind, operation.body, shapes) for kind in operation.body_types},
        }
    return described


def _parameters(operation: Operation) -> Iterator[Json]:
    if "{id}" in operation.path:
        yield {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    if operation.query:
        for name, schema in operation.query.model_json_schema()["properties"].items():
            if "$ref" in schema:
                schema["$ref"] = schema["$ref"].replace("#/$defs/", "#/components/schemas/")
            described = {key: schema.pop(key) for key in ("description",) if key in schema}
            yield {"name": name, "in": "query", "required": False, "schema": _tidy(schema), **described}
    if operation.idempotent:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "A repeat with the same key within 24 hours brings no second message.",
            "schema": {"type": "string", "maxLength": LONGEST_IDEMPOTENCY_KEY},
        }


def _body(kind: str, model: _Model, shapes: dict[_Model, Json]) -> Json:
    """A request's body: in a form each field is a text, or several, and objects are written as JSON or `name[key]`."""
    if kind == "application/json":
        return {"schema": shapes[model], "example": _example(model)}
    texts: Json = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    names = [field.alias or name for name, field in model.model_fields.items()]
    properties: Json = dict.fromkeys(names, texts)
    if kind == "multipart/form-data" and "attachments" in properties:
        part = {"type": "string", "contentMediaType": "application/octet-stream"}
        properties["attachments"] = {"anyOf": [{"type": "array", "items": part}, *texts["anyOf"]]}
    required = [field.alias or name for name, field in model.model_fields.items() if field.is_required()]
    form = {
        "type": "object",
        "description": "The fields of the JSON body as texts; a field may come several times, or as `to[]`. "
        "An object is its JSON, or `metadata[order]`, or `metadata__order`.",
        "properties": properties,
        "required": required,
    }
    return {"schema": form, "example": _example(model)}


def _example(model: _Model) -> Json:
    return {field.alias or name: field.examples[0] for name, field in model.model_fields.items() if field.examples}


def _answer(operation: Operation, shapes: dict[_Model, Json]) -> Json:
    answer: Json = {"description": "Done." if operation.answer is None else "What was asked for."}
    answer["headers"] = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    if isinstance(operation.answer, type):
        shape = shapes[operation.answer]
        answer["content"] = {
            "application/json": {"schema": {"type": "array", "items": shape} if operation.many else shape}
        }
    elif operation.answer:
        kind = "object" if operation.answer == "application/json" else "string"
        answer["content"] = {operation.answer: {"schema": {"type": kind}}}
    return answer


def _problem(status: int, shapes: dict[_Model, Json]) -> Json:
    names = ["X-Request-Id"]
    if status in {429, 503}:
        names.append("Retry-After")
    if status == 401:
        names.append("WWW-Authenticate")
    return {
        "description": _PROBLEMS[status],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {"application/json": {"schema": shapes[ErrorOut]}},
    }
