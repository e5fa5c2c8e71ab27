"""``GET /v1/openapi.json`` and ``GET /v1/docs``: the API described, for programs and for people. Neither needs a key.

The page is made of the document alone, without a script, and asks no other host for anything.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from flask import Blueprint, Response, render_template

from integrations.api.openapi import Json, describe
from webapp.core.services.gateway import Gateway

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


def register(blueprint: Blueprint, gateway: Gateway) -> None:
    """Add the endpoints."""
    base_url = gateway.settings.base_url
    document = cache(lambda: describe(base_url))

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        return Response(json.dumps(document()), mimetype="application/json")

    @blueprint.get("/docs")
    def docs() -> Response:
        page = render_template("api/docs.html", api=document(), operations=_operations(document()), base_url=base_url)
        return Response(page, headers={"Content-Security-Policy": _POLICY})


def _operations(document: Json) -> list[Json]:
    """What the page shows of each operation."""
    base_url = document["servers"][0]["url"]
    return [
        {
            "method": method.upper(),
            "path": path,
            "curl": _curl(f"{base_url}{path}", method.upper(), operation),
            "fields": _fields(document, operation),
            "shape": _shape(document, operation),
            **operation,
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def _curl(url: str, method: str, operation: Json) -> str:
    lines = [f"curl {url}" if method != "DELETE" else f"curl -X DELETE {url}"]
    asked = [
        f"{one['name']}={one['schema']['examples'][0]}"
        for one in operation["parameters"]
        if one["in"] == "query" and one["schema"].get("examples")
    ]
    if asked:
        lines[0] = f"curl -G {url}"
        lines += [f'-d "{one}"' for one in asked]
    if "security" not in operation:
        lines.append('-H "Authorization: Bearer pl_…"')
    if "requestBody" in operation:
        example = operation["requestBody"]["content"]["application/json"]["example"]
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d '{json.dumps(example, ensure_ascii=False, indent=4)[:-1]}  }}'")
    return " \\\n  ".join(lines)


def _fields(document: Json, operation: Json) -> list[Json]:
    """The fields of the body, or the questions of the URL: name, kind, whether it must be there, what it means."""
    if "requestBody" not in operation:
        return [
            {
                "name": one["name"],
                "kind": _kind(document, one["schema"]),
                "required": one.get("required", False),
                "about": one.get("description", ""),
            }
            for one in operation["parameters"]
        ]
    body = _resolved(document, operation["requestBody"]["content"]["application/json"]["schema"])
    return [
        {
            "name": name,
            "kind": _kind(document, schema),
            "required": name in body.get("required", []),
            "about": schema.get("description", ""),
        }
        for name, schema in body["properties"].items()
    ]


def _kind(document: Json, schema: Json) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return _kind(document, _resolved(document, schema))
    if "anyOf" in schema:
        kinds = dict.fromkeys(_kind(document, one) for one in schema["anyOf"])
        return " or ".join(kinds)
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if schema.get("format") == "date-time":
        return "time"
    if schema.get("type") == "array":
        return "list"
    kind = str(schema["type"])
    return {"string": "text", "integer": "number", "boolean": "yes or no"}.get(kind, kind)


def _shape(document: Json, operation: Json) -> str:
    """What a success looks like, in JSON with each value's kind in its place."""
    for status, answer in operation["responses"].items():
        content = answer.get("content", {}).get("application/json")
        if status.startswith("2") and content and content["schema"] != {"type": "object"}:
            return json.dumps(_sketch(document, content["schema"]), indent=2, ensure_ascii=False)
    return ""


def _sketch(document: Json, schema: Json) -> Any:
    schema = _resolved(document, schema)
    if "properties" in schema:
        return {name: _sketch(document, value) for name, value in schema["properties"].items()}
    if schema.get("type") == "array":
        return [_sketch(document, schema["items"])]
    return _kind(document, schema)


def _resolved(document: Json, schema: Json) -> Json:
    if "$ref" not in schema:
        return schema
    found: Json = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found
