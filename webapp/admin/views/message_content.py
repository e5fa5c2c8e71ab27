"""A stored message's content: in a frame that can do nothing, as source, and its attachments.

What strangers wrote never reaches the panel's own pages but as escaped text.
"""

from __future__ import annotations

from io import BytesIO

from flask import Response, abort, make_response, send_file
from flask_admin import expose

from webapp.app import gateway_of
from webapp.core.models import Message
from webapp.core.rules.html_view import view_html
from webapp.core.rules.mail_view import attachment as find_attachment
from webapp.core.rules.mail_view import view_mail
from webapp.db import db

#: The frame's own policy: pictures from the message itself, its styles, and nothing else. ``sandbox`` holds also
#: when the address is opened outside the frame.
BODY_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'; sandbox"
)
#: What is downloaded is never shown by a browser as a page of this server.
DOWNLOAD_POLICY = "default-src 'none'; sandbox"


class MessageContentMixin:
    """Endpoints below ``/admin/messages/ID/``, for the message view."""

    @expose("/<message_id>/body")
    def body(self, message_id: str) -> Response:
        """The HTML part, made harmless, for the sandboxed frame."""
        view = view_mail(self._source(message_id))
        response = make_response(view_html(view.html or "", view.pictures).document)
        response.headers["Content-Security-Policy"] = BODY_POLICY
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        response.headers["X-DNS-Prefetch-Control"] = "off"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    @expose("/<message_id>/source")
    def source(self, message_id: str) -> Response:
        """The whole message as a file for mail programs."""
        return _download(self._source(message_id), f"{message_id}.eml", "message/rfc822")

    @expose("/<message_id>/attachments/<int:number>")
    def attachment(self, message_id: str, number: int) -> Response:
        """One attachment as a file, whatever type it says it has."""
        found = find_attachment(self._source(message_id), number)
        if found is None:
            abort(404)
        return _download(found[1], found[0].filename, "application/octet-stream")

    def _source(self, message_id: str) -> bytes:
        """The source of a message that this view shows, else 404."""
        source = gateway_of().signing.as_sent(db.session(), self.message_or_404(message_id))
        return source if source is not None else abort(404)

    def message_or_404(self, message_id: str) -> Message:
        """The message, if this view shows it."""
        return self.get_one(message_id) or abort(404)  # type: ignore[attr-defined]


def _download(content: bytes, filename: str, content_type: str) -> Response:
    response = send_file(BytesIO(content), content_type, as_attachment=True, download_name=filename, etag=False)
    response.headers["Content-Security-Policy"] = DOWNLOAD_POLICY
    response.headers["Cache-Control"] = "no-store"
    return response
