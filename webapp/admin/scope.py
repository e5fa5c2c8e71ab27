"""The chosen sending domain. It is in the URL (``?domain=example.org``), never only in a session.

With one domain it is implied; without the argument a page shows all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Flask, abort, g, has_request_context, request, url_for

from webapp.core.models import Domain
from webapp.core.services import domains
from webapp.db import db

ARGUMENT = "domain"
#: What belongs to one row or one page of a list, and so does not go along to another domain.
_LEFT_BEHIND = {"page", "id", "url", "modal"}


@dataclass(frozen=True, slots=True)
class Scope:
    """The live domains, and the one that this request is about; None for all of them."""

    domains: Sequence[Domain]
    domain: Domain | None

    @property
    def is_all(self) -> bool:
        """Whether rows of several domains may be on one page."""
        return self.domain is None and len(self.domains) > 1


def current_scope() -> Scope:
    """The scope of this request, read once. Answers 404 for a domain that is not there."""
    if "scope" not in g:
        live = domains.live(db.session())
        asked = request.args.get(ARGUMENT)
        if asked:
            chosen = next((domain for domain in live if domain.name == asked), None)
            if chosen is None:
                abort(404)
        else:
            chosen = live[0] if len(live) == 1 else None
        g.scope = Scope(live, chosen)
    return g.scope


def choices(endpoint: str) -> list[dict[str, Any]]:
    """What the selector at the top offers: *endpoint* for each domain, and for all."""
    scope = current_scope()
    if len(scope.domains) < 2:
        return []
    kept = {k: v for k, v in request.args.items() if k not in _LEFT_BEHIND | {ARGUMENT}}

    def entry(name: str, domain: Domain | None) -> dict[str, Any]:
        args = kept | {ARGUMENT: domain.name if domain else None}
        return {"name": name, "url": url_for(endpoint, **args), "active": scope.domain is domain}

    return [entry("All domains", None), *(entry(domain.name, domain) for domain in scope.domains)]


def init_scope(app: Flask, blueprints: set[str]) -> None:
    """Have every URL to one of *blueprints* name the domain that this request's URL names."""

    @app.url_defaults
    def keep_domain(endpoint: str, values: dict[str, Any]) -> None:
        if ARGUMENT in values or not has_request_context():
            return
        if endpoint.partition(".")[0] in blueprints and (asked := request.args.get(ARGUMENT)):
            values[ARGUMENT] = asked
