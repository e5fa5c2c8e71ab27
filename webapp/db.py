"""Flask-SQLAlchemy on the very engine that the services use."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine

from webapp.core.models import Base


class SharedSQLAlchemy(SQLAlchemy):
    """Takes its engine from the app's gateway: one pool a process, with one set of rules."""

    def _make_engine(self, bind_key: str | None, options: dict[str, Any], app: Flask) -> Engine:
        engine: Engine = app.extensions["postlatch"].database.engine
        return engine


db = SharedSQLAlchemy(metadata=Base.metadata)
