"""Fixtures that all tests share: real databases, a gateway with everything in its own folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import NullPool, create_engine, text

from tests.support import needs, postgres
from webapp import create_app, gateway_of
from webapp.core.models import Base
from webapp.core.services import hashing
from webapp.core.services.gateway import Gateway
from webapp.settings import Settings

pytest_plugins = ["tests.support.browser"]

_POSTGRES_URL = "POSTLATCH_TEST_POSTGRES_URL"
_LONGEST = (
    "tests/e2e/",
    "test_kill.py",
    "test_openapi.py",
    "test_launch.py",
    "_walk.py",
    "_browser.py",
    "test_served.py",
)
_REAL_HASHER = hashing._hasher
_cluster = pytest.StashKey[postgres.Cluster]()

# The tests start a hundred processes: compiling our modules in each of them would take a minute of the run.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# On a busy machine any example may take long; a test as a whole has its own limit.
hypothesis.settings.register_profile("postlatch", deadline=None)
hypothesis.settings.load_profile("postlatch")

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest come first: at the end a worker would go on alone with one of them."""
    items.sort(key=lambda item: not any(part in item.nodeid for part in _LONGEST))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name in one line what this machine lacks and how to get it."""
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    lacking = {what: how for what, how in needs.HOW.items() if any(f"{what} is missing: " in r for r in reasons)}
    if lacking:
        told = "; ".join(f"{what} ({how})" for what, how in lacking.items())
        terminalreporter.write_line(f"Not tested, because this machine lacks: {told}", yellow=True)


@pytest.fixture(scope="session", autouse=True)
def cheap_hashes() -> Iterator[None]:
    """Hash passwords with little work: thousands are hashed in a run. Processes of their own do all of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        yield


@pytest.fixture
def real_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hash as in production, for what is about how long that takes."""
    monkeypatch.setattr(hashing, "_hasher", _REAL_HASHER)
    hashing._nobody.cache_clear()
    yield
    hashing._nobody.cache_clear()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that the real migrations made, to be copied: once a run instead of once a test."""
    path = tmp_path_factory.mktemp("template") / "postlatch.db"
    _migrate(f"sqlite:///{path}", path.parent)
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL database that the real migrations made, to be emptied before each test."""
    server = create_engine(needs.postgresql(os.environ.get(_POSTGRES_URL)), isolation_level="AUTOCOMMIT")
    name = f"postlatch_test_{uuid.uuid4().hex[:12]}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = server.url.set(database=name).render_as_string(hide_password=False)
    _migrate(url, tmp_path_factory.mktemp("template"))
    yield url
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated, empty database: each test that asks for it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        path = tmp_path / "postlatch.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("migrated_postgresql")
    _empty(url)
    return url


#: Most tables are empty: deleting the few rows there are is ten times as quick as truncating all.
_EMPTY = f"""
DO $$
DECLARE one text;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOREACH one IN ARRAY ARRAY{[table.name for table in Base.metadata.sorted_tables]} LOOP
        EXECUTE 'DELETE FROM ' || one;
    END LOOP;
    PERFORM setval(oid, 1, false) FROM pg_class WHERE relkind = 'S';
END $$
"""


def _empty(url: str) -> None:
    """Empty all tables of a PostgreSQL database, whatever a test before has left open in it."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        connection.execute(text(f"{others} AND pid != pg_backend_pid()"))
        connection.execute(text(_EMPTY))


def _migrate(url: str, data_dir: Path) -> None:
    app = create_app(Settings(_env_file=None, data_dir=data_dir, database_url=url))
    with app.app_context():
        upgrade()
    gateway_of(app).close()


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
    """Apps on the test's database; keyword arguments are settings."""
    made: list[Gateway] = []

    def make(**overrides: Any) -> Flask:
        app = create_app(make_settings(**overrides))
        made.append(gateway_of(app))
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
