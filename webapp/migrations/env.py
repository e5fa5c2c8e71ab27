"""Alembic's environment: runs migrations on the app's own engine (``flask db upgrade``)."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection

from webapp import gateway_of
from webapp.core.models import Base
from webapp.core.models.base import UtcDateTime


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our instants as the column they are: a migration must not change with the models."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def run(connection: Connection) -> None:
    """Migrate over *connection* in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite changes a column by copying its table
        compare_type=True,
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


database = gateway_of().database
database.create_file()
with database.engine.connect() as connection:
    if connection.dialect.name == "sqlite":
        # Copying a table would cascade its deletion; the switch works only outside a transaction.
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    run(connection)
    connection.commit()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
