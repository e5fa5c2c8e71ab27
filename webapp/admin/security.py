"""What holds for every answer: security headers, CSRF protection, and a login for all below ``/admin/``."""

from __future__ import annotations

from flask import Flask, Response, redirect, request, url_for
from flask_wtf.csrf import CSRFProtect
from werkzeug.exceptions import BadRequest

from webapp.app import gateway_of

from .sessions import current_admin, init_sessions

#: App-wide. A door whose callers bring their own credentials says ``csrf.exempt(its_blueprint)``.
csrf = CSRFProtect()

#: No inline script, no inline style, nothing from any other host. A view may set its own, narrower policy.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # Tabler's arrows are data URLs
        "font-src 'self'",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: behind https the CSRF check wants to see that a form comes from here.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_YEAR = 31_536_000


def init_security(app: Flask) -> None:
    """Set up cookies, CSRF, headers and the login wall, in the order in which they must run."""
    app.config.update(
        SESSION_COOKIE_NAME="postlatch_form",  # the CSRF token and one-time messages; never a secret
        SESSION_COOKIE_SECURE=gateway_of(app).settings.base_url.startswith("https:"),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_TIME_LIMIT=None,  # a form lives as long as its session
    )
    app.before_request(_refuse_unstorable)
    init_sessions(app)
    csrf.init_app(app)
    app.before_request(_require_login)
    app.after_request(_harden)


def safe_next(target: str | None) -> str | None:
    """*target* if it is a path on this very server, else None."""
    if not target or not target.startswith("/") or target.startswith("//"):
        return None
    if "\\" in target or not target.isprintable():
        return None
    return target


def _refuse_unstorable() -> None:
    """Refuse what no field may hold: PostgreSQL stores no NUL, and no lone surrogate is text."""
    if not _is_panel():
        return
    for values in (request.args, request.form):
        for name, value in values.items(multi=True):
            if "\0" in name + value or any("\ud800" <= c <= "\udfff" for c in value):
                raise BadRequest("A field holds characters that can't be stored.")


def _is_panel() -> bool:
    return request.path in {"/", "/login", "/logout", "/admin"} or request.path.startswith(("/admin/", "/setup/"))


def _require_login() -> Response | None:
    inside = request.path == "/admin" or request.path.startswith("/admin/")
    if not inside or current_admin() is not None:
        return None
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("panel.login", next=wanted), 303)  # type: ignore[return-value]


def _harden(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if gateway_of().settings.base_url.startswith("https:"):
        response.headers.setdefault("Strict-Transport-Security", f"max-age={_YEAR}")
    if request.endpoint == "static":
        if "v" in request.args:  # the address changes with the content
            response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable"
    else:
        response.headers.setdefault("Cache-Control", "no-store")
    return response
