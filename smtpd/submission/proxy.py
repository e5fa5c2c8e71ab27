"""The PROXY protocol, versions 1 and 2, read before anything else and from trusted proxies alone.

It is read from the bare socket, so that on the port with implicit TLS the handshake still finds all of its octets.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address

from aiosmtpd.proxy_protocol import AF, V2_CMD, get_proxy

from webapp.core.rules.networks import normalise_ip

#: A version 1 header with its CRLF.
_LONGEST_LINE = 107


class ProxyError(Exception):
    """There was no valid PROXY header; the connection can't be trusted to be anybody's."""


async def read_client_ip(sock: socket.socket, proxy_ip: str) -> str:
    """The client's address as the proxy at the other end of *sock* tells it.

    That is the proxy itself for its own checks (LOCAL) and for families without addresses (UNKNOWN).
    Raise `ProxyError`.
    """
    try:
        data = await get_proxy(_SocketReader(sock))
    except (OSError, EOFError) as error:
        raise ProxyError(type(error).__name__) from None
    if not data.valid:
        raise ProxyError("malformed header")
    if data.command == V2_CMD.LOCAL or data.family == AF.UNSPEC:
        return proxy_ip
    if not isinstance(data.src_addr, (IPv4Address, IPv6Address)):
        raise ProxyError("no IP address in the header")
    return str(normalise_ip(str(data.src_addr)))


class _SocketReader:
    """The little of `asyncio.StreamReader` that the parser needs, never reading further than asked."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    async def read(self, n: int = -1) -> bytes:
        """At most *n* octets."""
        return await self._loop.sock_recv(self._sock, n)

    async def readexactly(self, n: int = -1) -> bytes:
        """Exactly *n* octets. Raise `EOFError`."""
        data = b""
        while len(data) < n:
            more = await self._loop.sock_recv(self._sock, n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """What comes up to *separator*. Raise `EOFError`, also for more than a header may have."""
        data = b""
        while not data.endswith(separator):
            if len(data) >= _LONGEST_LINE:
                raise EOFError
            data += await self.readexactly(1)
        return data
