"""The Make app's files: all that are named, none besides, and what Make demands of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from integrations.api.operations import OPERATIONS
from integrations.api.schemas import MessageOut, Receipt, Recipient
from webapp.core.rules.events import EventName
from webapp.core.rules.statuses import Status

from .player import APP, BACK_OFF, code, load

ERROR_TYPES = {
    "RuntimeError", "DataError", "RateLimitError", "OutOfSpaceError", "ConnectionError", "InvalidConfigurationError",
    "InvalidAccessTokenError", "IncompleteDataError", "DuplicateDataError",
}  # fmt: skip
KINDS = {
    "connection": {"connectionType": {"basic", "oauth"}},
    "webhook": {"webhookType": {"web", "web-shared"}},
    "module": {"moduleType": {"action", "instant_trigger", "responder", "search", "trigger", "universal"}},
    "rpc": {},
}


@pytest.fixture(scope="module")
def app() -> Any:
    return load()


def components(app: Any) -> Iterator[tuple[str, str, Any]]:
    for kind, found in app["components"].items():
        for name, component in found.items():
            yield kind, name, component


def requests(app: Any) -> Iterator[tuple[str, Any]]:
    for _, name, component in components(app):
        for which in ("communication", "attach", "detach"):
            if component["codeFiles"].get(which) and "output" not in (found := code(component, which)):
                yield f"{name}.{which}", found


def test_the_main_file(app: Any) -> None:
    assert set(app) == {"fileVersion", "generalCodeFiles", "components", "origins"}
    assert set(app["generalCodeFiles"]) == {"base", "common", "readme", "groups"}
    assert set(app["components"]) == {"connection", "webhook", "module", "rpc", "function"}
    for origin in app["origins"]:
        assert re.fullmatch(r"https://(.*)/api", origin["baseUrl"])
        assert re.fullmatch(r"[a-z][0-9a-z-]+[0-9a-z]", origin["appId"])
    for kind, name, component in components(app):
        assert re.fullmatch(r"[a-zA-Z][0-9a-zA-Z]+", name)
        assert component["label"]
        for key, allowed in KINDS[kind].items():
            assert component[key] in allowed
        if connection := component.get("connection"):
            assert connection in app["components"]["connection"]
        if component.get("moduleType") == "instant_trigger":
            assert component["webhook"] in app["components"]["webhook"]
        if kind == "module":
            assert component["description"].endswith(".")


def test_every_file_is_named_and_every_name_is_a_file(app: Any) -> None:
    named = {*app["generalCodeFiles"].values(), "makecomapp.json", "README.md"}
    for _, _, component in components(app):
        named |= set(component["codeFiles"].values())
    assert named == {str(path.relative_to(APP)) for path in APP.rglob("*") if path.is_file()}
    for name in named:
        text = (APP / name).read_text()
        assert text.strip()
        if name.endswith(".json"):
            json.loads(text)


def test_what_changes_something_has_a_body_and_errors_have_messages(app: Any) -> None:
    base = json.loads((APP / app["generalCodeFiles"]["base"]).read_text())
    for name, request in [("base", base), *requests(app)]:
        if request.get("method") in {"POST", "PUT", "PATCH", "DELETE"}:
            assert "url" in request, name
            assert "body" in request, name
        error = request.get("response", {}).get("error")
        if error is None:
            continue
        specified = [error, *(value for key, value in error.items() if key.isdigit())]
        for one in specified:
            assert one["message"], name
            assert one["type"] in ERROR_TYPES, name


def test_nothing_that_passes_switches_a_scenario_off(app: Any) -> None:
    base = json.loads((APP / app["generalCodeFiles"]["base"]).read_text())["response"]["error"]
    statuses = {status for operation in OPERATIONS for status in operation.problems}
    assert {str(status) for status in statuses} <= set(base)
    for status in ("429", "500", "502", "503", "504"):
        assert base[status]["type"] in BACK_OFF


def test_each_request_has_a_route(app: Any) -> None:
    routes = {(operation.method, f"/v1{operation.path}") for operation in OPERATIONS}
    for name, request in requests(app):
        if name == "makeApiCall.communication":
            assert request["url"].startswith("/"), "a path on this server, whatever is typed"
            continue
        url = re.sub(r"^\{\{.*?baseUrl.*?\}\}", "", request["url"])
        assert (request["method"], re.sub(r"\{\{[^}]+\}\}", "{id}", url)) in routes, name


def test_secrets_stay_out_of_make_s_log(app: Any) -> None:
    base = json.loads((APP / app["generalCodeFiles"]["base"]).read_text())
    connection = app["components"]["connection"]["postlatch"]
    for request in (base, code(connection, "communication")):
        assert "request.headers.authorization" in request["log"]["sanitize"]
    assert next(one for one in code(connection, "params") if one["name"] == "apiKey")["type"] == "password"


def test_fields_and_samples_are_what_the_api_gives(app: Any) -> None:
    modules = app["components"]["module"]

    def names(fields: Any) -> list[str]:
        return [one["name"] for one in fields]

    assert names(code(modules["sendEmail"], "interface")) == list(Receipt.model_fields)
    found = code(modules["searchMessages"], "interface")
    assert names(found) == list(MessageOut.model_fields)
    assert names(found[-1]["spec"]) == list(Recipient.model_fields)
    for module in modules.values():
        assert list(code(module, "samples")) == names(code(module, "interface"))
    status = next(p for p in code(modules["searchMessages"], "mappableParams") if p["name"] == "status")
    assert {option["value"] for option in status["options"]} == set(Status)
    (events,) = code(app["components"]["webhook"]["emailEvents"], "params")
    assert {option["value"] for option in events["options"]} == set(EventName)


def test_drop_downs_ask_procedures_that_exist(app: Any) -> None:
    for _, _, component in components(app):
        for which in ("mappableParams", "staticParams", "params"):
            for parameter in code(component, which) if component["codeFiles"].get(which) else []:
                options = parameter.get("options")
                if isinstance(options, str):
                    assert options.removeprefix("rpc://") in app["components"]["rpc"]
