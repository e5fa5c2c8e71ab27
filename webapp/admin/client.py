"""Who is at the panel's door."""

from __future__ import annotations

from flask import request

from webapp.app import gateway_of
from webapp.core.rules.submission import Peer
from webapp.net.client_address import client_address


def client_ip() -> str:
    """The client's address, read as every door reads it."""
    forwarded = ", ".join(request.headers.getlist("X-Forwarded-For"))
    return client_address(request.remote_addr or "", forwarded, gateway_of().settings.trusted_proxies)


def user_agent() -> str:
    """What the browser says of itself."""
    return request.headers.get("User-Agent", "")


def peer() -> Peer:
    """The client as the services know it."""
    return Peer(door="panel", ip=client_ip(), client=user_agent(), protocol="HTTP")


def is_fetch() -> bool:
    """Whether a dialog of ours asks, which wants a fragment and no page."""
    return request.headers.get("X-Requested-With") == "fetch"
