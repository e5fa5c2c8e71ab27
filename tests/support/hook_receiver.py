"""A receiver of webhooks on loopback, over HTTP or TLS, that can verify them with the standardwebhooks library."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

Answer = tuple[int, dict[str, str]]


@dataclass
class Received:
    """One POST, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    def verified(self, secret: str) -> dict[str, Any]:
        """The event, if *secret* signed it. Raise `WebhookVerificationError`."""
        event: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return event

    @property
    def id(self) -> str:
        """Its webhook-id."""
        return self.headers["webhook-id"]


class HookReceiver:
    """Answers with `answer`: a status, or a function of the POST. A context manager. `hang` never answers."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.answer: int | Answer | Callable[[Received], int | Answer] = 200
        self.received: list[Received] = []
        self.hang = False
        self._let_go = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                got = Received(self.path, dict(self.headers.items()), self.rfile.read(length))
                outer.received.append(got)
                if outer.hang:
                    outer._let_go.wait(60)
                    return
                answer = outer.answer(got) if callable(outer.answer) else outer.answer
                status, headers = (answer, {}) if isinstance(answer, int) else answer
                self.send_response(status)
                text = b"Thank you." if status < 300 else b"No."
                for name, value in {"Content-Length": str(len(text)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/catch"

    def __enter__(self) -> HookReceiver:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()
