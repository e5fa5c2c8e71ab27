"""The whole of Postlatch as `make run` starts it, on free ports and in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flask import Flask

from tests.support.factories import PANEL_PASSWORD, PASSWORD, make_api_key, make_domain, make_smtp_user
from webapp import cli, create_app, gateway_of
from webapp.core.services import admins
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway
from webapp.settings import Settings

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


class Stack:
    """Starts web, submission and worker; use it as a context manager. Keyword arguments are settings."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self.http_port, self.smtp_port, self.smtps_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.settings = settings
        self.printed: list[str] = []
        self._people: set[str] = set()
        self._launcher: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment of all processes: ours without its POSTLATCH variables, and this stack's."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("POSTLATCH_")}
        return clean | {
            "POSTLATCH_DATA_DIR": str(self.data_dir),
            "POSTLATCH_HOSTNAME": "mail.postlatch.test",
            "POSTLATCH_HTTP_BIND": f"127.0.0.1:{self.http_port}",
            "POSTLATCH_SMTP_BIND": f"127.0.0.1:{self.smtp_port}",
            "POSTLATCH_SMTPS_BIND": f"127.0.0.1:{self.smtps_port}",
            **{f"POSTLATCH_{name.upper()}": value for name, value in self.settings.items()},
        }

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and return once it says that it is ready. Raise `AssertionError` with what it printed."""
        self._launcher = subprocess.Popen(
            [sys.executable, "-m", "webapp.launch"],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=(self._launcher,), daemon=True).start()
        deadline = time.monotonic() + START_SECONDS
        # The launcher's word, too: only then does it start again what dies.
        while not (self.is_ready() and any("Ctrl-C" in line for line in self.printed)):
            assert self._launcher.poll() is None, "".join(self.printed)
            assert time.monotonic() < deadline, "".join(self.printed)
            time.sleep(0.1)  # ends as soon as it answers

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        if self._launcher and self._launcher.poll() is None:
            self._launcher.send_signal(signal.SIGINT)
            self._launcher.wait(timeout=30)
        self.kill()

    def kill(self) -> None:
        """``kill -9`` every process of this stack, the launcher first so that nothing is started again."""
        if self._launcher:
            self._launcher.kill()
            self._launcher.wait(timeout=10)
        while pids := self.pids():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def pids(self) -> list[int]:
        """The processes of this stack: those with its data directory in their environment."""
        mark = f"POSTLATCH_DATA_DIR={self.data_dir}\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z" and mark in (entry / "environ").read_bytes():
                        found.append(int(entry.name))
        return found

    def is_ready(self) -> bool:
        """Whether web, submission, worker and database answer."""
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def flask(self, *arguments: str) -> Any:
        """Run a command with ``--json`` on this stack's database, in the test's own process; what it printed."""
        with self._app() as app:
            cli.register(app, jobs=[])
            done = app.test_cli_runner().invoke(args=[*arguments, "--json"])
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    @contextmanager
    def services(self) -> Iterator[Gateway]:
        """The services on this stack's database, in the test's own process: another takes seconds to start."""
        with self._app() as app:
            yield gateway_of(app)

    @contextmanager
    def _app(self) -> Iterator[Flask]:
        database = {name: value for name, value in self.settings.items() if name == "database_url"}
        app = create_app(Settings(_env_file=None, data_dir=self.data_dir, **database))
        try:
            yield app
        finally:
            gateway_of(app).close()

    def prepare(
        self, username: str = "printer@example.com", password: str = PASSWORD, *, domain: str = "example.com"
    ) -> str:
        """Add a domain that is vouched for, an SMTP user and an API key; return the key."""
        with self.services() as gateway:
            make_domain(gateway, domain, vouch=True)
            make_smtp_user(gateway, username, domain=domain, password=password)
            return make_api_key(gateway, domain=domain)[1]

    def person(self, role: str) -> str:
        """The e-mail address of somebody with that role, whose password is `PANEL_PASSWORD`; made when asked first."""
        email = f"{role}@example.com"
        if role not in self._people:
            with self.services() as gateway, gateway.database.session() as session:
                admins.create(session, COMMAND_LINE, email=email, role=role, password=PANEL_PASSWORD)
            self._people.add(role)
        return email

    @property
    def setup_link(self) -> str:
        """The path of the one-time link in the banner."""
        match = re.search(r"/setup/[A-Za-z0-9_-]+", "".join(self.printed))
        assert match, "".join(self.printed)
        return match[0]

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """GET *path*: the status and the body."""
        return self._ask(urllib.request.Request(self.url + path, headers=headers))

    def post(self, path: str, body: object, **headers: str) -> tuple[int, Any]:
        """POST *body* as JSON: the status and the JSON that came back."""
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
        )
        status, answer = self._ask(request)
        return status, json.loads(answer)

    def smtp(self, username: str, password: str, *, implicit_tls: bool = False) -> smtplib.SMTP:
        """A logged-in SMTP connection."""
        if implicit_tls:
            client: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", self.smtps_port, context=self.tls, timeout=30)
        else:
            client = smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=30)
            client.starttls(context=self.tls)
        client.login(username, password)
        return client

    @property
    def tls(self) -> ssl.SSLContext:
        """Trusts this stack's own certificate, and no other."""
        return ssl.create_default_context(cafile=str(self.data_dir / "tls" / "cert.pem"))

    @staticmethod
    def _ask(request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def _read(self, launcher: subprocess.Popen[str]) -> None:
        assert launcher.stdout
        self.printed.extend(launcher.stdout)
