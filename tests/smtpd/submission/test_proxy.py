"""The PROXY protocol, believed from trusted proxies alone."""

from __future__ import annotations

import ssl
import struct

import pytest

from tests.smtpd.submission.conftest import MakeServer
from tests.smtpd.submission.wire import RunningServer, Wire, trusting

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 587\r\n"
V1_IPV6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 587\r\n"
V1_UNKNOWN = b"PROXY UNKNOWN\r\n"
V2 = SIGNATURE + b"\x21\x11" + struct.pack("!H4s4sHH", 12, bytes([192, 0, 2, 7]), bytes(4), 1, 587)
V2_TLV = SIGNATURE + b"\x21\x11" + struct.pack("!H4s4sHH", 16, bytes([192, 0, 2, 7]), bytes(4), 1, 587) + b"\4\0\1x"
V2_MAPPED = (
    SIGNATURE
    + b"\x21\x21"
    + struct.pack("!H16s16sHH", 36, bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 7]), bytes(16), 1, 587)
)
V2_LOCAL = SIGNATURE + b"\x20\x11" + struct.pack("!H4s4sHH", 12, bytes([192, 0, 2, 7]), bytes(4), 1, 587)
V2_UNIX = SIGNATURE + b"\x21\x31" + struct.pack("!H", 216) + b"/x".ljust(216, b"\0")


@pytest.fixture
def proxied(make_server: MakeServer) -> tuple[RunningServer, list[str]]:
    """A server that trusts 127.0.0.1 as a proxy, and the addresses that it believed."""
    server, gateway = make_server({"proxy": 0.4}, smtp_proxy_protocol=True, trusted_proxies="127.0.0.1")
    seen: list[str] = []
    gateway.on_admit = lambda peer: seen.append(peer.ip)
    return server, seen


@pytest.mark.parametrize(
    ("header", "ip"),
    [
        (V1, "192.0.2.7"),
        (V1_IPV6, "2001:db8::7"),
        (V1_UNKNOWN, "127.0.0.1"),
        (V2, "192.0.2.7"),
        (V2_TLV, "192.0.2.7"),
        (V2_MAPPED, "192.0.2.7"),
        (V2_LOCAL, "127.0.0.1"),
    ],
)
@pytest.mark.parametrize("tls", [False, True])
def test_a_trusted_proxy_tells_the_client_s_address(
    proxied: tuple[RunningServer, list[str]], header: bytes, ip: str, tls: bool
) -> None:
    server, seen = proxied
    with Wire(server.tls_port if tls else server.starttls_port) as wire:
        wire.send(header)
        if tls:
            wire.wrap()
        assert wire.reply().startswith("220")
        wire.ehlo()
    assert seen == [ip]


def test_the_handshake_may_come_in_the_same_packet(proxied: tuple[RunningServer, list[str]]) -> None:
    server, seen = proxied
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = trusting().wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    with Wire(server.tls_port) as wire:
        wire.send(V2 + outgoing.read())
        while True:
            incoming.write(wire.socket.recv(65536))
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                continue
        wire.send(outgoing.read())
        greeting = b""
        while b"\r\n" not in greeting:
            try:
                greeting += session.read()
            except ssl.SSLWantReadError:
                incoming.write(wire.socket.recv(65536))
        assert greeting.startswith(b"220 ")
    assert seen == ["192.0.2.7"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"EHLO client.test\r\n",
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 x y 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 99999 587\r\n",
        b"PROXY " + b"x" * 200,
        b"PROX",
        SIGNATURE + b"\x31\x11\0\0",
        V2_UNIX,
        V2[:20],
    ],
)
def test_without_a_proper_header_a_trusted_proxy_is_cut(proxied: tuple[RunningServer, list[str]], data: bytes) -> None:
    server, seen = proxied
    with Wire(server.starttls_port) as wire:
        wire.send(data)
        assert wire.closed()
    assert seen == []


def test_a_header_from_anyone_else_is_refused(proxied: tuple[RunningServer, list[str]]) -> None:
    server, seen = proxied
    with server.connect(source="127.0.0.2") as wire:
        assert wire.reply().startswith("220")
        wire.send(V1)
        assert wire.reply().startswith("554 5.5.0")
        assert wire.closed()
    assert seen == ["127.0.0.2"]


@pytest.mark.parametrize("overrides", [{"trusted_proxies": "127.0.0.1"}, {"smtp_proxy_protocol": True}])
def test_headers_are_not_parsed_when_off_or_when_nobody_is_trusted(
    make_server: MakeServer, overrides: dict[str, object]
) -> None:
    server, gateway = make_server(**overrides)
    with server.connect() as wire:
        assert wire.reply().startswith("220")
        wire.send(V1)
        assert wire.reply().startswith("554 5.5.0")
    assert {peer.ip for _, peer, _ in gateway.refusals} == {"127.0.0.1"}
