"""Plays Make: reads the app's files and does with them what Make does when a scenario runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.stack import ROOT

from .iml import render

APP = ROOT / "integrations" / "make"
#: These Make tries again later by itself; any other switches a scenario off.
BACK_OFF = {"RateLimitError", "ConnectionError"}


class MakeError(Exception):
    """What Make shows, of the type that decides what it does next."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


def load() -> Any:
    """The app's main file."""
    return json.loads((APP / "makecomapp.json").read_text())


def code(component: Any, name: str) -> Any:
    """One of a component's files."""
    return json.loads((APP / component["codeFiles"][name]).read_text())


@dataclass
class Make:
    """One user's account, with the app in it and one connection."""

    connection: dict[str, Any]
    app: Any = field(default_factory=load)

    @property
    def base(self) -> Any:
        """What all modules share."""
        return json.loads((APP / self.app["generalCodeFiles"]["base"]).read_text())

    def connect(self) -> str:
        """Test the connection; return its label."""
        request = code(self.app["components"]["connection"]["postlatch"], "communication")
        scope = {"parameters": self.connection}
        answer = self._ask(render(request["url"], scope), request, scope, render(request["headers"], scope))
        scope |= {"body": answer.json()}
        assert render(request["response"]["valid"], scope)
        return str(render(request["response"]["metadata"]["value"], scope))

    def run(self, name: str, **parameters: Any) -> Any:
        """Run a module; return its output, or the list of a search's."""
        return self._call(code(self.app["components"]["module"][name], "communication"), parameters=parameters)

    def options(self, name: str) -> Any:
        """What a remote procedure fills a drop-down with."""
        return self._call(code(self.app["components"]["rpc"][name], "communication"), parameters={})

    def attach(self, name: str, url: str, **parameters: Any) -> dict[str, Any]:
        """Make a webhook at *url*; return what Make keeps of it."""
        request = code(self.app["components"]["webhook"][name], "attach")
        return {"url": url} | self._call(request, parameters=parameters, webhook={"url": url})

    def detach(self, name: str, webhook: dict[str, Any]) -> None:
        """Delete a webhook."""
        self._call(code(self.app["components"]["webhook"][name], "detach"), parameters={}, webhook=webhook)

    def receive(self, name: str, body: Any) -> Any:
        """The bundle that a webhook's request becomes."""
        return render(code(self.app["components"]["webhook"][name], "communication")["output"], {"body": body})

    def _call(self, request: Any, **scope: Any) -> Any:
        scope |= {"connection": self.connection}
        url = render(self.base["baseUrl"], scope) + render(request["url"], scope)
        headers = render(self.base["headers"], scope) | render(request.get("headers", {}), scope)
        answer = self._ask(url, request, scope, headers)
        said = answer.json() if "json" in answer.headers.get("content-type", "") else answer.text
        scope |= {"body": said, "headers": dict(answer.headers), "statusCode": answer.status_code}
        response = request.get("response", {})
        if "data" in response:
            return render(response["data"], scope)
        if "iterate" in response:
            found = [render(response["output"], scope | {"item": one}) for one in render(response["iterate"], scope)]
            return found[: int(render(response["limit"], scope))] if "limit" in response else found
        return render(response.get("output"), scope)

    def _ask(self, url: str, request: Any, scope: Any, headers: dict[str, str]) -> httpx.Response:
        method = render(request["method"], scope)
        body = render(request.get("body"), scope) if method != "GET" else None
        values: dict[str, Any] = {"params": {k: v for k, v in render(request.get("qs", {}), scope).items() if v}}
        if request.get("type") == "multipart/form-data":
            values["files"] = [_part(name, value) for name, value in body.items()]
        elif request.get("type") == "text":
            values["content"] = body or ""
        elif body is not None:
            values["json"] = body
        answer = httpx.request(method, url, headers=headers, **values)
        if answer.status_code >= 400:
            error = request.get("response", {}).get("error", self.base["response"]["error"])
            chosen = error.get(str(answer.status_code), error)
            said = answer.json() if "json" in answer.headers.get("content-type", "") else {}
            raise MakeError(chosen["type"], render(chosen["message"], {"body": said, "statusCode": answer.status_code}))
        return answer


def _part(name: str, value: Any) -> tuple[str, Any]:
    if isinstance(value, dict):
        return name, (value.get("options", {}).get("filename") or "", value.get("value") or b"")
    return name, (None, str(value).encode())
