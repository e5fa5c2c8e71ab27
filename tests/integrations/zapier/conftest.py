"""The Zapier app in Zapier's own core, in a Node process of its own, against a live server."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from integrations.api import create_api
from tests.support import needs
from tests.support.factories import make_api_key, make_domain
from tests.support.stack import ROOT
from webapp import gateway_of

APP = ROOT / "integrations" / "zapier"


class ZapierError(Exception):
    """What Zapier would show: `name` is the error's class."""

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        message = message.partition("\nWhat happened")[0]  # the core adds its log
        try:
            said = json.loads(message)
        except ValueError:
            said = {"message": message}
        self.said: dict[str, Any] = said
        super().__init__(name, said["message"])


class Core:
    """Zapier's core with the app in it."""

    def __init__(self, app: Path = APP) -> None:
        node = needs.program("Node", "node")
        if not (APP / "node_modules" / "zapier-platform-core").is_dir():
            needs.lacks("zapier-platform-core")
        self._node = subprocess.Popen(
            [str(node), str(Path(__file__).with_name("run.js")), str(app)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def call(self, method: str, **bundle: Any) -> Any:
        """Run the app's function at *method*. Raise `ZapierError`."""
        assert self._node.stdin
        assert self._node.stdout
        self._node.stdin.write(json.dumps({"method": method, "bundle": bundle}) + "\n")
        self._node.stdin.flush()
        while not (line := self._node.stdout.readline()).startswith("{"):
            assert line, "Node ended"
        told = json.loads(line)
        if "error" in told:
            raise ZapierError(told["error"]["name"], told["error"]["message"])
        return told["results"]

    def close(self) -> None:
        """End Node."""
        assert self._node.stdin
        self._node.stdin.close()
        self._node.wait(10)


@pytest.fixture(scope="package")
def core() -> Iterator[Core]:
    """One core for all tests: starting it takes a second."""
    made = Core()
    yield made
    made.close()


class Live:
    """A server, with a key for example.com."""

    def __init__(self, app: Flask, url: str) -> None:
        self.gateway = gateway_of(app)
        self.url = url
        make_domain(self.gateway)
        self.key = make_api_key(self.gateway, note="Zapier")[1]

    @property
    def auth(self) -> dict[str, str]:
        """What a connection holds."""
        return {"base_url": self.url, "api_key": self.key}


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """Serve *app* while the block runs; its URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def live(make_app: Callable[..., Flask]) -> Iterator[Live]:
    """A live server that may fetch from, and post to, this machine."""
    app = make_app(allow_private_webhooks=True, retry_first="0.05s")
    app.register_blueprint(create_api(gateway_of(app)))
    with serving(app) as url:
        yield Live(app, url)
