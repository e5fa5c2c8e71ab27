"""Liveness and readiness, for load balancers and for `make run`."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from webapp.core.database import UNAVAILABLE
from webapp.core.models import utcnow
from webapp.core.services import heartbeats
from webapp.core.services.gateway import Gateway

#: The processes that must be at work besides this one.
PROCESSES = ("submission", "worker")


def create_health(gateway: Gateway) -> Blueprint:
    """``/healthz``: this process answers. ``/readyz``: database, submission and worker do too."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @blueprint.get("/readyz")
    def readyz() -> tuple[Response, int]:
        try:
            with gateway.database.session() as session:
                alive = heartbeats.alive(session, utcnow())
        except UNAVAILABLE:
            return jsonify(status="unavailable", database=False), 503
        parts = {"web": True, "database": True} | {name: alive.get(name, False) for name in PROCESSES}
        ready = all(parts.values())
        return jsonify(status="ok" if ready else "unavailable", **parts), 200 if ready else 503

    return blueprint
