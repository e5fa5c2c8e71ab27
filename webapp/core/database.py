"""One engine a process, for SQLite and PostgreSQL alike, and what counts as "the database is gone".

SQLite is made to behave as PostgreSQL does at READ COMMITTED: reads run outside a transaction and see what is
committed; the first write opens ``BEGIN IMMEDIATE``, which waits for its turn (`BUSY_SECONDS`). A deferred
transaction that read first and writes later would fail at once instead, however short the other's write.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import DBAPIError, DisconnectionError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

#: How long a writer waits for another before it gives up, in seconds.
BUSY_SECONDS = 5
#: The database can't be reached, is locked, or its disk is full: try again later.
UNAVAILABLE = (OperationalError, InterfaceError, DisconnectionError, PoolTimeoutError)

_READS = ("SELECT", "PRAGMA", "EXPLAIN", "BEGIN", "COMMIT", "ROLLBACK", "RELEASE")


class Database:
    """The engine and its sessions. Raise `UNAVAILABLE` from any call while the database is gone."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.url = make_url(url)
        if self.url.get_backend_name() == "sqlite":
            self.engine = _sqlite_engine(self.path, pool_size)
        else:
            self.engine = create_engine(
                self.url,
                pool_size=pool_size,
                hide_parameters=True,  # an error in the log must not show mail or hashes
                pool_timeout=BUSY_SECONDS,
                pool_pre_ping=True,
                connect_args={"connect_timeout": BUSY_SECONDS, "options": f"-c lock_timeout={BUSY_SECONDS}s"},
            )
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._writing = threading.Lock()

    @property
    def path(self) -> Path:
        """The file of a SQLite database."""
        return Path(str(self.url.database)).resolve()

    def create_file(self) -> None:
        """Make an empty SQLite file, readable by its owner only. Nothing for PostgreSQL.

        Only migrations call it: a service that finds the file gone must say so and never start an empty one.
        """
        if self.engine.dialect.name == "sqlite":
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session that commits at the end, or rolls back when an exception leaves the block."""
        with self._sessions() as session, session.begin():
            yield session

    @contextmanager
    def write_turn(self) -> Iterator[None]:
        """Wait for this process's other writers, on SQLite: it would look for the end of a write only now and then."""
        got = self.engine.dialect.name == "sqlite" and self._writing.acquire(timeout=BUSY_SECONDS)
        try:
            yield
        finally:
            if got:
                self._writing.release()


def _sqlite_engine(path: Path, pool_size: int) -> Engine:
    engine = create_engine(
        f"sqlite:///file:{path}?mode=rw&uri=true",
        pool_size=pool_size,
        hide_parameters=True,  # an error in the log must not show mail or hashes
        max_overflow=20,
        pool_timeout=BUSY_SECONDS,
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        record.info["inode"] = os.stat(path).st_ino

    @event.listens_for(engine, "checkout")
    def same_file(_connection: Any, record: Any, _proxy: Any) -> None:
        # SQLite goes on writing to a file that was moved or deleted: mail acknowledged there would be lost.
        try:
            inode = os.stat(path).st_ino
        except OSError:
            inode = None
        if inode != record.info.get("inode"):
            raise DisconnectionError("the database file was moved or replaced")

    @event.listens_for(engine, "before_cursor_execute")
    def write_immediately(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.lstrip()[:8].upper().startswith(_READS):
            _begin_write(connection)

    @event.listens_for(engine, "savepoint")
    def savepoint_immediately(connection: Connection, _name: str) -> None:
        _begin_write(connection)

    return engine


def begin_write(session: Session) -> None:
    """Start a transaction that will write: on SQLite wait for the write lock now, so that reads in it stay true."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        _begin_write(connection)


def was_raced(error: DBAPIError) -> bool:
    """Whether *error* only means that another transaction was quicker: a unique key taken, or a deadlock solved."""
    return isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", None) in {"40001", "40P01"}


def serialise(session: Session, key: str) -> None:
    """Let one transaction at a time, of all processes, go on for *key*: what it reads next stays true until commit."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        _begin_write(connection)
    else:
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(key))))


def _begin_write(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
