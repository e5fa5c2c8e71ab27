"""The API's description: it says what is so, and the running server does nothing that it doesn't say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integrations.api.operations import OPERATIONS
from integrations.api.schemas import SendRequest
from tests.support.stack import Stack

from .conftest import Caller, refused

#: All that look at what an answer is. Not whether a request should have been taken: no schema says what an address is,
#: and what is empty counts as absent, of whatever type.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth"
)


@pytest.fixture
def document(caller: Caller) -> Any:
    """The description, asked for without a key."""
    answer = Caller(caller.app, None).get("/openapi.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    return answer.json


def test_each_route_is_described_and_each_description_has_a_route(caller: Caller, document: Any) -> None:
    routes = {
        (method, rule.rule.replace("<", "{").replace(">", "}").replace("message_id", "id").replace("hook_id", "id"))
        for rule in caller.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/v1/") and not rule.endpoint.endswith("static")
    }
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == routes
    assert len({one.name for one in OPERATIONS}) == len(OPERATIONS)


def test_what_validates_a_request_describes_it(document: Any) -> None:
    content = document["paths"]["/v1/send"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "application/x-www-form-urlencoded", "multipart/form-data"}
    schema = document["components"]["schemas"]["SendRequest"]
    assert list(schema["properties"]) == SendRequest.names()
    assert schema["required"] == ["from"]
    for kind in content.values():
        body = kind["schema"]
        assert body == {"$ref": "#/components/schemas/SendRequest"} or list(body["properties"]) == SendRequest.names()


def test_its_example_is_taken_in_each_form(caller: Caller, document: Any) -> None:
    for kind, described in document["paths"]["/v1/send"]["post"]["requestBody"]["content"].items():
        example = described["example"]
        data = json.dumps(example) if kind == "application/json" else example
        assert caller.recipients(caller.post(data, kind)) == ["ann@example.org"]


def test_each_call_with_a_key_says_how_it_refuses(document: Any) -> None:
    schemes = document["components"]["securitySchemes"]
    assert [(one["type"], one.get("scheme"), one.get("name")) for one in schemes.values()] == [
        ("http", "bearer", None),
        ("apiKey", None, "X-API-Key"),
        ("http", "basic", None),
    ]
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if operation.get("security") == []:
                assert path in {"/v1/openapi.json", "/v1/docs"}
                continue
            answers = operation["responses"]
            assert {"401", "403", "429", "500", "503"} <= set(answers), path
            for status in ("429", "503"):
                assert "Retry-After" in answers[status]["headers"]
            assert ("requestBody" in operation) <= ({"400", "413", "415", "422"} <= set(answers))


def test_every_reference_leads_somewhere(document: Any) -> None:
    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for item in value.values():
                yield from walk(item)
        elif isinstance(value, list):
            for item in value:
                yield from walk(item)

    found = set(walk(document))
    assert found
    for reference in found:
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_the_server_s_own_address_is_in_it(make_caller: Any) -> None:
    caller = make_caller(public_url="https://mail.example.org")
    assert caller.get("/openapi.json").json["servers"] == [{"url": "https://mail.example.org"}]
    assert "curl https://mail.example.org/v1/send" in caller.get("/docs").get_data(as_text=True)


def test_questions_that_make_no_sense(caller: Caller) -> None:
    for query, field in (
        ("status=lost", "status"),
        ("status=%00", "status"),
        ("recipient=nobody", "recipient"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=1e1", "limit"),
        ("limit=%C2%B2", "limit"),
    ):
        assert field in refused(caller.get(f"/messages?{query}"), 422, "invalid_field", field)


@pytest.mark.timeout(300)  # seconds on an idle machine; the coverage phase is as long as it is
def test_schemathesis_finds_no_5xx_and_no_undocumented_answer(tmp_path: Path) -> None:
    with Stack(tmp_path / "stack") as stack:
        key = stack.prepare()
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "schemathesis"), "run", f"{stack.url}/v1/openapi.json",
                "--header", f"Authorization: Bearer {key}", "--checks", CHECKS,
                "--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--max-time", "15",
                "--generation-database", "none", "--continue-on-failure", "--suppress-health-check", "all",
            ],
            cwd=tmp_path, env=stack.environment, capture_output=True, text=True, check=False, timeout=250,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
