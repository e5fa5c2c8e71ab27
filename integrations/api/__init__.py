"""The HTTP API below ``/v1``: a thin door in front of the same services as every other."""

from __future__ import annotations

from flask import Blueprint

from integrations.api import access, docs, errors, hooks, messages, send
from integrations.api.rates import Rates
from webapp.core.services.gateway import Gateway

__all__ = ["create_api"]


def create_api(gateway: Gateway) -> Blueprint:
    """The blueprint of ``/v1``. Its callers bring a key, not a session: it needs no CSRF protection."""
    blueprint = Blueprint(
        "api",
        __name__,
        url_prefix="/v1",
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )
    errors.register(blueprint, gateway)
    rates = Rates(gateway)
    rates.guard_address(blueprint)
    access.register(blueprint, gateway)
    rates.guard_key(blueprint)
    send.register(blueprint, gateway)
    messages.register(blueprint, gateway)
    hooks.register(blueprint, gateway)
    docs.register(blueprint, gateway)
    return blueprint
