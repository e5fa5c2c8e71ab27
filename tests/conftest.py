"""Fixtures that all tests share: real databases, a gateway with everything in its own folder."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import create_engine, make_url, text

from tests.support import needs, postgres
from webapp import create_app, gateway_of
from webapp.core.services.gateway import Gateway
from webapp.settings import Settings

_POSTGRES_URL = "POSTLATCH_TEST_POSTGRES_URL"
_cluster = pytest.StashKey[postgres.Cluster]()

# What the developer has set must not leak into a test.
for _name in [name for name in os.environ if name.startswith("POSTLATCH_") and "_TEST_" not in name]:
    del os.environ[_name]


def pytest_configure(config: pytest.Config) -> None:
    """Start a PostgreSQL server once a run, unless the environment names one or the machine has none."""
    if hasattr(config, "workerinput") or os.environ.get(_POSTGRES_URL) or config.option.collectonly:
        return
    cluster = postgres.find()
    if cluster is None:
        return
    try:
        cluster.start()
    except (OSError, LookupError, subprocess.CalledProcessError):
        return
    config.stash[_cluster] = cluster
    os.environ[_POSTGRES_URL] = cluster.url


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what `pytest_configure` started."""
    if cluster := config.stash.get(_cluster, None):
        cluster.stop()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name in one line what this machine lacks and how to get it."""
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    lacking = {what: how for what, how in needs.HOW.items() if any(f"{what} is missing: " in r for r in reasons)}
    if lacking:
        told = "; ".join(f"{what} ({how})" for what, how in lacking.items())
        terminalreporter.write_line(f"Not tested, because this machine lacks: {told}", yellow=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database: each test that asks for it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'postlatch.db'}"
        return
    url = needs.postgresql(os.environ.get(_POSTGRES_URL))
    name = f"postlatch_test_{uuid.uuid4().hex[:12]}"
    server = create_engine(make_url(url), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(url).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def make_settings(tmp_path: Path, database_url: str) -> Callable[..., Settings]:
    """Settings for one test, on ports that the system chooses; keyword arguments override."""

    def make(**overrides: Any) -> Settings:
        values: dict[str, Any] = {
            "_env_file": None,
            "data_dir": tmp_path,
            "database_url": database_url,
            "hostname": "mail.postlatch.test",
            "http_bind": "127.0.0.1:0",
            "smtp_bind": "127.0.0.1:0",
            "smtps_bind": "127.0.0.1:0",
        }
        return Settings(**(values | overrides))

    return make


@pytest.fixture
def make_app(make_settings: Callable[..., Settings]) -> Iterator[Callable[..., Flask]]:
    """Apps on the test's database, migrated by the real migrations; keyword arguments are settings."""
    made: list[Gateway] = []

    def make(**overrides: Any) -> Flask:
        app = create_app(make_settings(**overrides))
        made.append(gateway_of(app))
        with app.app_context():
            upgrade()
        return app

    yield make
    for gateway in made:
        gateway.close()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """An app with the usual settings and no door."""
    return make_app()


@pytest.fixture
def gateway(app: Flask) -> Gateway:
    """The services of `app`."""
    return gateway_of(app)
