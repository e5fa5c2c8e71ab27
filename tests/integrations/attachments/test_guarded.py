"""Where files are fetched from, and where they are not: certificates, redirects, private addresses."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import timedelta

import httpx

from integrations.attachments import attachments_job
from tests.integrations.api.conftest import Caller, make_caller
from tests.integrations.attachments.test_attachments import attached, caller, files, recipient, send, unfinished
from tests.support.queue import running, until
from webapp.certificate import ensure_certificate
from webapp.core.models import UnfinishedMessage, utcnow
from webapp.net.targets import TargetGuard

from .fileserver import FILE, FileServer, serving

__all__ = ["caller", "files", "make_caller"]


def test_over_https_and_only_with_a_good_certificate(caller: Caller) -> None:
    ensure_certificate(caller.gateway.settings)
    cert, key = caller.gateway.settings.tls_files
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    with serving(tls) as files:
        good, bad = (
            send(caller, f"{files.url}/a.pdf"),
            send(caller, f"{files.url}/b.pdf".replace("localhost", "127.0.0.1")),
        )
        with caller.gateway.database.session() as session:
            session.get_one(UnfinishedMessage, bad).due_at = utcnow() + timedelta(hours=1)
        trusting = TargetGuard(allow_private=True).transport(verify=ssl.create_default_context(cafile=str(cert)))
        with running(attachments_job(caller.gateway, transport=trusting)):
            until(lambda: unfinished(caller) == 1)
        with caller.gateway.database.session() as session:
            session.get_one(UnfinishedMessage, bad).due_at = utcnow()
        with running(attachments_job(caller.gateway)):
            until(lambda: unfinished(caller) == 0)
    assert attached(caller, good) == [("a.pdf", "application/pdf", FILE)]
    assert "certificate is not valid" in recipient(caller, bad)["reason"]


class _Outside(httpx.AsyncBaseTransport):
    """A server on the internet that redirects; what it redirects to goes through the real guard."""

    def __init__(self, to: str) -> None:
        self.to = to
        self.guarded = TargetGuard(allow_private=False).transport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "files.example.org":
            return httpx.Response(302, headers={"Location": self.to})
        return await self.guarded.handle_async_request(request)


def test_a_redirect_leads_to_no_private_address(make_caller: Callable[..., Caller], files: FileServer) -> None:
    caller = make_caller()
    port = files.server.server_port
    for to in (
        f"http://127.0.0.1:{port}/a.pdf",
        f"https://127.0.0.1:{port}/a.pdf",
        f"https://localhost:{port}/a.pdf",
        f"https://[::ffff:127.0.0.1]:{port}/a.pdf",
        "https://169.254.169.254/",
        "file:///etc/passwd",
    ):
        message_id = send(caller, "https://files.example.org/a.pdf")
        with running(attachments_job(caller.gateway, transport=_Outside(to))):
            until(lambda: unfinished(caller) == 0)
        assert recipient(caller, message_id)["status"] == "failed", to
        assert "can't be fetched" in recipient(caller, message_id)["reason"]
    assert files.asked == []
