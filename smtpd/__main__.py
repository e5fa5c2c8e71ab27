"""``python -m smtpd``: the listeners, for submission and, where it is set, for returned mail, in their own process."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import gc
import resource
import signal
import sys

import smtpd

# Python 3.11 has a module of that name too; it wins when the project's root is not first on the path.
if not hasattr(smtpd, "__path__"):
    sys.exit("Run python -m smtpd from the project's root.")

from smtpd.bounces.server import BounceServer
from smtpd.submission.environment import Environment
from smtpd.submission.server import ListenError, SubmissionServer
from webapp import create_app, gateway_of
from webapp.core.services.gateway import Gateway
from webapp.core.services.vault import VaultError
from webapp.net.server_tls import CertificateError
from webapp.settings import SettingsError

#: How long a thread may keep the event loop from running: Python's own 5 ms add up where several are busy.
_SWITCH_SECONDS = 0.001
#: Octets that a TLS connection is read by; a record has at most 16 KiB (RFC 8446 section 5.1).
_TLS_BUFFER = 32 * 1024
#: Files that the process has open besides the clients' sockets: the database, connections being refused, logs.
_OTHER_FILES = 400


def main() -> None:
    """Serve until SIGTERM or SIGINT. Raise `SystemExit` with one line when that can't begin."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        gateway = gateway_of(create_app())
    except (SettingsError, VaultError) as error:
        sys.exit(str(error))
    try:
        asyncio.run(serve(gateway))
    except (CertificateError, ListenError) as error:
        sys.exit(str(error))
    finally:
        gateway.close()


async def serve(gateway: Gateway) -> None:
    """Listen until SIGTERM or SIGINT; SIGHUP reads the certificate again. Raise `CertificateError`, `ListenError`."""
    environment = Environment.build(gateway)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, environment.certificate.reload)
    # Each TLS connection holds a buffer of this size as long as it lasts: by default a thousand hold 256 MB.
    asyncio.sslproto.SSLProtocol.max_size = _TLS_BUFFER
    _allow_files(environment.settings.max_connections)
    servers: list[SubmissionServer | BounceServer] = [SubmissionServer(environment)]
    if gateway.settings.bounce_bind and gateway.return_paths:
        bind, return_paths = gateway.settings.bounce_bind, gateway.return_paths
        servers.append(BounceServer(environment, bind, gateway=gateway, return_paths=return_paths))
    try:
        for server in servers:
            await server.start()
        # What is here now stays: looking it through for garbage would stop the event loop for 0.1 s every so often.
        gc.freeze()
        await stop.wait()
    finally:
        await asyncio.gather(*(server.stop() for server in servers))
        environment.close()


def _allow_files(connections: int) -> None:
    """Raise the soft limit of open files as far as *connections* need and the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


if __name__ == "__main__":
    main()
