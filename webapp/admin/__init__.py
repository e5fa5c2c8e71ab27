"""The panel: Flask-Admin's generated CRUD behind a log-in, in a theme of our own.

`init_admin` plugs it into an app that `webapp.create_app` made. Other doors of the same app, whose callers bring
their own credentials, say ``csrf.exempt(blueprint)``.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask

from .base import Panel
from .errors import init_errors
from .login import panel
from .scope import init_scope
from .security import csrf, init_security
from .theme import TablerTheme, init_theme
from .views import all_views
from .views.home import HomeView
from .views.integrations import Download

__all__ = ["csrf", "init_admin"]


def init_admin(app: Flask, downloads: Mapping[str, Download] | None = None) -> None:
    """Add the panel to *app*: its pages, the security headers, CSRF protection and the error pages.

    *downloads* build the apps that the Integrations page offers, by platform.
    """
    init_security(app)
    init_errors(app)
    init_theme(app)
    app.register_blueprint(panel)
    registry = Panel(app, name="Postlatch", theme=TablerTheme(base_template="panel/base.html"), index_view=HomeView())
    for view in all_views(downloads or {}):
        registry.add_view(view)
    init_scope(app, registry.endpoints)
