"""Who calls: the key, wherever the client put it, and the address it comes from."""

from __future__ import annotations

from flask import Blueprint, g, request

from webapp.core.rules.api_keys import parse_api_key
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Credential, Peer
from webapp.core.services.gateway import Gateway
from webapp.net.client_address import client_address
from webapp.settings import Settings

#: What anyone may read: how the API is used.
_PUBLIC = frozenset({"openapi", "docs", "static"})


def register(blueprint: Blueprint, gateway: Gateway) -> None:
    """Let nobody in without a key, but to what is public."""
    public = {f"{blueprint.name}.{name}" for name in _PUBLIC}

    @blueprint.before_request
    def authenticate() -> None:
        if request.endpoint in public:
            return
        key = presented_key()
        if key is None:
            raise Refused(Reason.KEY_MISSING)
        if parsed := parse_api_key(key):
            g.presented = parsed.public_id  # for the log, should it be refused
        g.credential = gateway.authenticate_key(key, peer(gateway.settings))


def presented_key() -> str | None:
    """The key from ``Authorization`` (Bearer, or Basic with the user ``api``) or ``X-API-Key``; never from the URL.

    Another ``Authorization`` may be a reverse proxy's own log-in: the key is then looked for in ``X-API-Key``.
    """
    authorization = request.authorization
    if authorization is not None:
        if authorization.type == "bearer" and authorization.token:
            return authorization.token.strip()
        if authorization.type == "basic" and (authorization.username or "").lower() == "api":
            return authorization.password
    return request.headers.get("X-API-Key", "").strip() or None


def credential() -> Credential:
    """Whose key this request brought."""
    found: Credential = g.credential
    return found


def peer(settings: Settings) -> Peer:
    """The client as the services know it."""
    forwarded = ", ".join(request.headers.getlist("X-Forwarded-For"))
    ip = client_address(request.remote_addr or "", forwarded, settings.trusted_proxies)
    return Peer(door="http", ip=ip, client=request.headers.get("User-Agent", ""), protocol="HTTP")
