"""`make run`: everything on one machine with one command, and one banner that says where it is.

Web, submission and worker are processes of their own. One that dies is started again; Ctrl-C ends all of them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from flask import Flask
from flask_migrate import upgrade

from webapp import create_app, gateway_of
from webapp.certificate import ensure_certificate
from webapp.core.database import UNAVAILABLE
from webapp.core.services import admins
from webapp.core.services.vault import VaultError
from webapp.net.server_tls import CertificateError, server_context
from webapp.settings import Bind, Settings, SettingsError, load_settings

ROOT = Path(__file__).parents[1]
#: How long everything may take to answer, and to stop, in seconds.
READY_SECONDS, STOP_SECONDS = 60.0, 25.0
#: A process that died is started again after so long, in seconds.
RESTART_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1


class LaunchError(Exception):
    """It can't start; the text is the one line to show."""


def main() -> None:
    """Start, say where, and run until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script that starts it in the background ignores it
    try:
        settings = load_settings()
        _check_ports(settings)
        app = create_app(settings)
        with app.app_context():
            upgrade()
        ensure_certificate(settings)
        server_context(*settings.tls_files)
        setup_token = _setup_token(app)
    except (SettingsError, VaultError, CertificateError, LaunchError) as error:
        sys.exit(f"postlatch: {error}")
    except UNAVAILABLE as error:
        sys.exit(f"postlatch: {_database_problem(settings, str(getattr(error, 'orig', error)))}")
    except OSError as error:
        sys.exit(f"postlatch: {_database_problem(settings, f'{error.filename}: {error.strerror}')}")
    processes = [Process(name, command) for name, command in commands(settings).items()]
    try:
        for process in processes:
            process.start()
        _wait_ready(settings, processes)
        print(banner(settings, gateway_of(app).preferences.current().delivery, setup_token), flush=True)  # noqa: T201
        gateway_of(app).close()
        while True:
            for process in processes:
                process.restart_if_dead()
            time.sleep(0.5)
    except KeyboardInterrupt:
        pass
    except LaunchError as error:
        sys.exit(f"postlatch: {error}")
    finally:
        _stop(processes)


def commands(settings: Settings) -> dict[str, list[str]]:
    """How each process is started, from the project's root: there `smtpd` is ours, not the standard library's."""
    web = [
        *("-m", "gunicorn", "wsgi:app", "--preload", "--bind", str(settings.http_bind)),
        *("--worker-class", "webapp.http_worker.HttpWorker", "--workers", "2", "--threads", "16"),
        *("--timeout", "120", "--graceful-timeout", "15", "--log-level", "warning"),
        *("--forwarded-allow-ips", "", "--limit-request-field_size", "16380", "--no-control-socket"),
    ]
    return {
        "web": [sys.executable, *web],
        "submission": [sys.executable, "-m", "smtpd"],
        "worker": [sys.executable, "-m", "flask", "worker"],
    }


class Process:
    """One of the processes, kept running."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._command = command
        self._running: subprocess.Popen[bytes] | None = None
        self._again_at = 0.0

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches the launcher alone and all stop in order."""
        self._running = subprocess.Popen(  # noqa: S603 - the commands are ours
            self._command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - there are no threads here
        )

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._running.poll() if self._running else None

    def restart_if_dead(self) -> None:
        """Start it again after a pause if it is not running."""
        code = self.exit_code
        if code is None:
            return
        if not self._again_at:
            print(f"postlatch: {self.name} ended with {code}; starting it again", file=sys.stderr, flush=True)  # noqa: T201
            self._again_at = time.monotonic() + RESTART_SECONDS
        elif time.monotonic() >= self._again_at:
            self._again_at = 0.0
            self.start()

    def terminate(self) -> None:
        """Ask it to stop."""
        if self._running and self._running.poll() is None:
            self._running.terminate()

    def finish(self, deadline: float) -> None:
        """Wait until it has stopped; at *deadline* (monotonic seconds) end it."""
        if self._running is None:
            return
        try:
            self._running.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()


def banner(settings: Settings, delivery: str, setup_token: str | None) -> str:
    """What a newcomer needs to know, once everything answers."""
    kept = {"capture": "capture: mail is kept and shown in the panel, nothing leaves this server"}.get(
        delivery, delivery
    )
    lines = [
        "Postlatch is running.",
        "",
        f"  Panel and API   {settings.base_url}",
        f"  SMTP            {settings.smtp_bind} (STARTTLS), {settings.smtps_bind} (SSL/TLS)",
        f"  Delivery        {kept}",
    ]
    if setup_token:
        lines += ["", "Nobody can log in yet. Open this link once to create the first owner:", ""]
        lines += [f"  {settings.base_url}/setup/{setup_token}"]
    lines += ["", "Ctrl-C stops it."]
    width = max(map(len, lines))
    return "\n" + "\n".join(["─" * width, *lines, "─" * width])


def _setup_token(app: Flask) -> str | None:
    with gateway_of(app).database.session() as session:
        return admins.setup_link(session)


def _database_problem(settings: Settings, problem: str) -> str:
    variable = "POSTLATCH_DATABASE_URL" if settings.database_url else "POSTLATCH_DATA_DIR"
    return f"{variable}: the database can't be used: {' '.join(problem.split())}"


def _check_ports(settings: Settings) -> None:
    with ExitStack() as held:  # until all are judged: two settings may name the same port
        _hold_ports(settings, held)


def _hold_ports(settings: Settings, held: ExitStack) -> None:
    for name in ("http_bind", "smtp_bind", "smtps_bind", "bounce_bind"):
        bind: Bind | None = getattr(settings, name)
        if bind is None:
            continue
        try:
            found = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, kind, _, _, address in found:
                sock = held.enter_context(socket.socket(family, kind))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(address)
                sock.listen()  # only then does Linux refuse a second one
        except OSError as error:
            variable = f"POSTLATCH_{name.upper()}"
            raise LaunchError(
                f"{variable}: can't listen on {bind} ({error.strerror}): "
                f"stop what uses it, or set {variable} to another address"
            ) from None


def _wait_ready(settings: Settings, processes: list[Process]) -> None:
    bind = settings.http_bind
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind.host, bind.host)  # noqa: S104 - compared, not bound
    url = f"http://{Bind(host, bind.port)}/readyz"
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        for process in processes:
            if process.exit_code is not None:
                raise LaunchError(f"{process.name} ended with {process.exit_code}; what it said is above")
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise LaunchError(f"not everything answered within {READY_SECONDS:.0f} seconds; see what is said above")


def _stop(processes: list[Process]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        process.finish(deadline)


def _die_with(parent: int) -> Callable[[], None]:
    """On Linux, have a child stop when the launcher is killed; elsewhere it goes on."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


if __name__ == "__main__":
    main()
