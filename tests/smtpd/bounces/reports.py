"""Reports as real servers write them, the listener that takes them, and a server that brings them."""

from __future__ import annotations

import asyncio
import smtplib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from smtpd.bounces.server import BounceServer
from smtpd.submission.environment import Environment
from smtpd.submission.limits import Limits
from tests.smtpd.submission.wire import write_certificate
from tests.support.queue import running
from webapp.core.services.gateway import Gateway

POSTFIX = """\
Date: Wed, 25 Nov 2026 12:00:00 +0000 (UTC)
From: MAILER-DAEMON@mx.example.org (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: {to}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="4X/mx.example.org"
Message-Id: <20261125120000.4X@mx.example.org>

This is a MIME-encapsulated message.

--4X/mx.example.org
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--4X/mx.example.org
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org
X-Postfix-Queue-ID: 4X
Arrival-Date: Wed, 25 Nov 2026 12:00:00 +0000 (UTC)

{blocks}
--4X/mx.example.org
Content-Description: Undelivered Message Headers
Content-Type: {returned}

Subject: Your order
{body}
--4X/mx.example.org--
"""
BLOCK = """\
Final-Recipient: rfc822; {recipient}
Original-Recipient: rfc822;{recipient}
Action: {action}
Status: {status}
Remote-MTA: dns; store.example.org
Diagnostic-Code: smtp; 550 {status} <{recipient}>: Recipient address
    rejected: User unknown
"""


def report(
    *recipients: str, to: str = "x@y.example", action: str = "failed", status: str = "5.1.1", body: str = ""
) -> bytes:
    """A report on *recipients* as Postfix writes it, with the whole mail if there is a *body*."""
    blocks = "\n".join(
        BLOCK.format(recipient=one, action=action, status=status) for one in recipients or ("ann@example.org",)
    )
    returned = "message/rfc822" if body else "text/rfc822-headers"
    text = POSTFIX.format(to=to, blocks=blocks, returned=returned, body=f"\n{body}\n" if body else "")
    return text.replace("\n", "\r\n").encode()


@contextmanager
def listening(gateway: Gateway) -> Iterator[int]:
    """The real listener in front of the real services; its port."""
    if not gateway.settings.tls_files[0].exists():
        write_certificate(*gateway.settings.tls_files)
    ports: list[int] = []
    started = threading.Event()
    bind, return_paths = gateway.settings.bounce_bind, gateway.return_paths
    assert bind
    assert return_paths

    async def job(stop: asyncio.Event) -> None:
        environment = Environment.build(gateway, Limits(grace=0.5))
        server = BounceServer(environment, bind, gateway=gateway, return_paths=return_paths)
        try:
            await server.start()
            ports.append(server.binds[0].port)
            started.set()
            await stop.wait()
        finally:
            await server.stop()
            environment.close()

    with running(job):
        assert started.wait(10)
        yield ports[0]


def bring(port: int, to: str, content: bytes, *, sender: str = "") -> tuple[int, bytes]:
    """Bring *content* as a mail server does; the answer to it, or to the first command that was refused."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo("mx.example.org")
        for command in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{to}>"):
            code, text = client.docmd(command)
            if code != 250:
                return code, text
        return client.data(content)
