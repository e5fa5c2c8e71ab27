"""Who is logged in: the cookie, and the session on the server that it opens."""

from __future__ import annotations

import hmac
from hashlib import sha256

from flask import Flask, Response, g, request, session

from webapp.app import gateway_of
from webapp.core.models import Admin, AdminSession, utcnow
from webapp.core.services import sessions
from webapp.core.services.audit import Actor
from webapp.db import db

from .client import client_ip, user_agent

COOKIE = "postlatch_session"


def init_sessions(app: Flask) -> None:
    """Must run before CSRFProtect's own `before_request`."""
    app.before_request(_bind_csrf_token)


def current_session() -> AdminSession | None:
    """The session of this request, read from the database once."""
    if "admin_session" not in g:
        g.admin_session = None
        now = utcnow()
        found = sessions.find(db.session(), _token(), now)
        g.admin_session = found
        if found and now - found.last_seen_at >= sessions.TOUCH_EVERY:
            seen = found.token_digest
            gateway_of().ledger.submit(lambda writing: sessions.touch(writing, seen, now))
    return g.admin_session


def current_admin() -> Admin | None:
    """Who is logged in, if anybody is."""
    found = current_session()
    return found.admin if found else None


def actor() -> Actor:
    """The logged-in admin as the audit log names them."""
    admin = current_admin()
    return Actor(admin.email if admin else "", client_ip())


def log_in(response: Response, admin: Admin) -> Response:
    """Start a session for *admin*, commit, and give it to the browser with *response*."""
    token = sessions.start(db.session(), admin, ip=client_ip(), client=user_agent(), now=utcnow(), replaces=_token())
    db.session.commit()
    session.clear()
    response.set_cookie(
        COOKIE,
        token,
        secure=_https(),
        httponly=True,
        samesite="Lax",
        path="/",
    )
    return response


def log_out(response: Response) -> Response:
    """End the session on the server, commit, and have the browser forget it."""
    sessions.end(db.session(), actor(), _token())
    db.session.commit()
    session.clear()
    response.delete_cookie(COOKIE, secure=_https(), httponly=True, samesite="Lax", path="/")
    return response


def _token() -> str:
    return request.cookies.get(COOKIE, "")


def _https() -> bool:
    return gateway_of().settings.base_url.startswith("https:")


def _bind_csrf_token() -> None:
    """Derive the CSRF token of a logged-in browser from its session.

    The token then ends with the session, is the same in all tabs, and a planted form cookie can't replace it.
    """
    if token := _token():
        expected = sha256(b"postlatch csrf " + token.encode("utf-8", "replace")).hexdigest()
        if not hmac.compare_digest(str(session.get("csrf_token", "")), expected):
            session["csrf_token"] = expected
