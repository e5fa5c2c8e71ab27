"""`create_app`: settings, database and services in a Flask app that has no door yet."""

from __future__ import annotations

from typing import cast

from flask import Flask, current_app
from flask_migrate import Migrate

from webapp import logs
from webapp.core.services.gateway import Gateway
from webapp.db import db
from webapp.settings import Settings, load_settings


def create_app(settings: Settings | None = None) -> Flask:
    """Build settings, database and services, without any door. Raise `SettingsError`, `VaultError`."""
    logs.configure()
    gateway = Gateway(settings or load_settings())
    app = Flask("webapp", instance_path=str(gateway.settings.data_dir.resolve()))
    app.config.update(
        SECRET_KEY=gateway.vault.cookie_key,
        SQLALCHEMY_DATABASE_URI=gateway.settings.sqlalchemy_url,
        MAX_CONTENT_LENGTH=gateway.settings.max_message_bytes * 2,
    )
    app.extensions["postlatch"] = gateway
    db.init_app(app)
    Migrate(app, db, directory="webapp/migrations", render_as_batch=True)
    return app


def gateway_of(app: Flask | None = None) -> Gateway:
    """The services of *app*, or of the app at work."""
    return cast(Gateway, (app or current_app).extensions["postlatch"])
