"""A web server on loopback with files that come as they should, and in every other way."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILE = bytes(range(256)) * 20
HEADERS = {
    "named": {
        "Content-Disposition": "attachment; filename=x.bin; filename*=UTF-8''Gr%C3%B6%C3%9Fe.pdf",
        "Content-Type": "application/pdf",
    },
    "evil": {"Content-Disposition": 'attachment; filename="../../etc/pass\twd"', "Content-Type": "x\u00e9/<y>"},
}


class FileServer:
    """`asked` has the paths in order; `release` ends what hangs."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self.release = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner.asked.append(self.path)
                owner.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://localhost:{self.server.server_port}"

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        """What each path brings."""
        name = to.path.partition("?")[0].strip("/")
        tries = sum(path == to.path for path in self.asked)
        if name.startswith("status-"):
            self._send(to, int(name.removeprefix("status-")), b"no")
        elif name == "flaky.pdf" and tries == 1:
            self._send(to, 503, b"busy")
        elif name == "endless":
            self._endless(to)
        elif name in {"large", "breaks"}:
            to.send_response(200)
            to.send_header("Content-Length", "900000000" if name == "large" else "9000")
            to.end_headers()
            to.wfile.write(b"half")
            to.close_connection = True
        elif name == "hangs":
            self.release.wait(20)
            self._send(to, 200, FILE)
        elif name == "moved":
            self._send(to, 302, b"", Location="/there/report.pdf")
        elif name == "circle":
            self._send(to, 301, b"", Location="/circle")
        else:
            self._send(to, 200, FILE, **HEADERS.get(name, {"Content-Type": "application/octet-stream"}))

    def _endless(self, to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("Transfer-Encoding", "chunked")
        to.end_headers()
        with suppress(OSError):
            while not self.release.is_set():
                to.wfile.write(b"%x\r\n%s\r\n" % (65536, b"x" * 65536))

    @staticmethod
    def _send(to: BaseHTTPRequestHandler, status: int, content: bytes, **headers: str) -> None:
        to.send_response(status)
        for header, value in headers.items():
            to.send_header(header, value)
        to.send_header("Content-Length", str(len(content)))
        to.end_headers()
        to.wfile.write(content)


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    """A server while the block runs."""
    made = FileServer(tls)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        made.release.set()
        made.server.shutdown()
        thread.join()
        made.server.server_close()
