"""The peer: stock aiosmtpd that syncs each message to a file of its own. Arguments: port, folder, certificate, key."""

from __future__ import annotations

import os
import ssl
import sys
import uuid
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


class SyncedFiles:
    """A handler that answers once the message is on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Write and sync."""
        descriptor = os.open(self._folder / uuid.uuid4().hex, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(descriptor, envelope.content)
        os.fsync(descriptor)
        os.close(descriptor)
        return "250 2.0.0 OK"


def main(port: str, folder: str, cert: str, key: str) -> None:
    """Serve until killed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    controller = Controller(
        SyncedFiles(Path(folder)),
        hostname="127.0.0.1",
        port=int(port),
        tls_context=context,
        authenticator=lambda *_: AuthResult(success=True),
    )
    controller.start()
    controller._thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
