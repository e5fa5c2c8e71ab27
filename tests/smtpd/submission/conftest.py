"""Servers on real sockets with real TLS, in front of a gateway in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.smtpd.submission.memory_gateway import PASSWORD, USER, MemoryGateway
from tests.smtpd.submission.wire import RunningServer, Wire, write_certificate
from webapp.settings import Settings

MakeServer = Callable[..., tuple[RunningServer, MemoryGateway]]


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    """Servers; the first argument holds limits, keyword arguments are settings."""
    running: list[RunningServer] = []

    def make(limits: dict[str, Any] | None = None, **overrides: Any) -> tuple[RunningServer, MemoryGateway]:
        values: dict[str, Any] = {
            "_env_file": None,
            "data_dir": tmp_path,
            "hostname": "mail.postlatch.test",
            "smtp_bind": "127.0.0.1:0",
            "smtps_bind": "127.0.0.1:0",
        }
        settings = Settings(**(values | overrides))
        if not settings.tls_files[0].exists():
            write_certificate(*settings.tls_files)
        gateway = MemoryGateway(settings)
        server = RunningServer(gateway, **({"grace": 1.0} | (limits or {})))
        running.append(server)
        return server, gateway

    yield make
    for server in running:
        server.stop()


@pytest.fixture
def served(make_server: MakeServer) -> tuple[RunningServer, MemoryGateway]:
    """A server with the usual limits, and its gateway."""
    return make_server()


@pytest.fixture
def server(served: tuple[RunningServer, MemoryGateway]) -> RunningServer:
    return served[0]


@pytest.fixture
def gateway(served: tuple[RunningServer, MemoryGateway]) -> MemoryGateway:
    """Shadows the real one: these tests look at the door alone."""
    return served[1]


@pytest.fixture
def wire(server: RunningServer) -> Iterator[Wire]:
    """A client that is logged in over TLS."""
    with server.logged_in(USER, PASSWORD) as wire:
        yield wire
