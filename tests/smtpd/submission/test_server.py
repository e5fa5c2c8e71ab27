"""Listening, the PROXY protocol, the certificate, and the end."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from smtpd.submission.certificate import Certificate, CertificateError
from smtpd.submission.server import ListenError
from tests.smtpd.submission.conftest import MakeServer
from tests.smtpd.submission.memory_gateway import PASSWORD, USER, receipt
from tests.smtpd.submission.wire import PATIENCE, RunningServer, Wire, plain, trusting, until, write_certificate
from webapp.core.rules.submission import Submission

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


def _certificate_of(server: RunningServer, *, starttls: bool) -> bytes:
    with server.greeted() if starttls else server.greeted(tls=True) as wire:
        if starttls:
            assert wire.command("STARTTLS").startswith("220")
            wire.wrap()
        assert isinstance(wire.socket, ssl.SSLSocket)
        return wire.socket.getpeercert(binary_form=True) or b""


def test_a_changed_certificate_is_served_without_a_restart(make_server: MakeServer, tmp_path: Path) -> None:
    server, gateway = make_server({"heartbeat": 0.05})
    old = _certificate_of(server, starttls=True)
    with server.greeted(tls=True) as open_before:
        write_certificate(*gateway.settings.tls_files, name="new.postlatch.test")
        until(lambda: _certificate_of(server, starttls=False) != old)
        assert _certificate_of(server, starttls=True) != old
        assert open_before.command("NOOP").startswith("250")


def test_a_half_written_pair_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_certificate(cert, key)
    certificate = Certificate(cert, key)
    used = certificate.context
    old_key = key.read_bytes()
    write_certificate(cert, key)
    new_key = key.read_bytes()
    key.write_bytes(old_key)
    certificate.reload_if_changed()
    assert certificate.context is used
    key.write_bytes(new_key)
    certificate.reload_if_changed()
    assert certificate.context is not used
    used = certificate.context
    certificate.reload_if_changed()
    assert certificate.context is used
    cert.unlink()
    certificate.reload_if_changed()
    assert certificate.context is used


@pytest.mark.parametrize("what", ["missing", "nonsense", "mismatch", "encrypted"])
def test_an_unusable_certificate_is_named(tmp_path: Path, what: str) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_certificate(cert, key)
    if what == "missing":
        cert.unlink()
    elif what == "nonsense":
        cert.write_text("nonsense")
    elif what == "mismatch":
        write_certificate(tmp_path / "other.pem", key)
    else:
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        key.write_bytes(
            loaded.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            )
        )
    with pytest.raises(CertificateError) as caught:
        Certificate(cert, key)
    assert str(cert) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(server: RunningServer) -> None:
    context = trusting()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", server.tls_port), PATIENCE) as sock,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        context.wrap_socket(sock)


def test_a_taken_port_is_named(make_server: MakeServer) -> None:
    server, _ = make_server()
    with pytest.raises(ListenError, match=f"127.0.0.1:{server.starttls_port}"):
        make_server(smtp_bind=f"127.0.0.1:{server.starttls_port}")


def test_shutting_down_tells_everybody_and_finishes_messages(make_server: MakeServer) -> None:
    server, gateway = make_server({"grace": 5.0})
    stored: Future = Future()
    submissions: list[Submission] = []

    def store_later(submission: Submission) -> Future:
        submissions.append(submission)
        return stored

    gateway.on_submit = store_later
    storing, coming, idle, clear = (
        server.logged_in(USER, PASSWORD),
        server.logged_in(USER, PASSWORD),
        server.logged_in(USER, PASSWORD),
        server.greeted(),
    )
    storing.begin()
    storing.send("one\r\n.\r\n")
    assert gateway.submitted.acquire(timeout=PATIENCE)
    coming.begin()
    coming.send("two\r\n")
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    for wire in (idle, clear):
        assert wire.reply().startswith("421 4.3.2")
        assert wire.closed()
        wire.socket.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.starttls_port), PATIENCE)
    coming.send(".\r\n")
    assert gateway.submitted.acquire(timeout=PATIENCE)
    stored.set_result(receipt(submissions[0], "late"))
    for wire in (storing, coming):
        assert wire.reply() == "250 2.0.0 Accepted as late"
        assert wire.reply().startswith("421 4.3.2")
        assert wire.closed()
        wire.socket.close()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()


def test_a_message_that_does_not_end_is_cut_at_shutdown(make_server: MakeServer) -> None:
    server, gateway = make_server({"grace": 0.2})
    wire = server.logged_in(USER, PASSWORD)
    wire.begin()
    wire.send("one\r\n")
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert wire.reply().startswith("421 4.3.2")
    assert wire.closed()
    wire.socket.close()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()
    assert gateway.submissions == []


def test_a_handshake_does_not_hold_up_the_shutdown(make_server: MakeServer) -> None:
    server, _ = make_server({"grace": PATIENCE})
    with Wire(server.tls_port):
        until(lambda: server.server.connections)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        stopping.join(PATIENCE / 2)
        assert not stopping.is_alive()


def test_the_process_says_that_it_is_at_work_also_after_a_failure(make_server: MakeServer) -> None:
    server, gateway = make_server({"heartbeat": 0.05})
    until(lambda: gateway.beats)

    def fail() -> None:
        raise OSError("no database")

    gateway.on_beat = fail
    before = len(gateway.beats)
    until(lambda: len(gateway.beats) > before + 1)
    assert set(gateway.beats) == {"submission"}
    with server.greeted(tls=True) as wire:
        assert wire.command("AUTH PLAIN " + plain(USER, PASSWORD)).startswith("235")


@pytest.mark.parametrize("host", ["[::1]", "localhost"])
def test_other_addresses_can_be_listened_on(make_server: MakeServer, host: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server, _ = make_server(smtp_bind=f"{host}:0")
    for bind in server.server.starttls_binds:
        with socket.create_connection(bind, PATIENCE) as sock:
            assert sock.recv(4) == b"220 "
    hosts = {bind.host for bind in server.server.starttls_binds}
    assert "::1" in hosts or host == "localhost"


def test_all_addresses_include_those_of_ipv4(make_server: MakeServer) -> None:
    try:
        server, gateway = make_server(smtp_bind="[::]:0")
    except ListenError:
        pytest.skip("this machine has no IPv6")
    seen: list[str] = []
    gateway.on_admit = lambda peer: seen.append(peer.ip)
    with server.greeted() as wire:
        assert wire.command("NOOP").startswith("250")
    assert seen == ["127.0.0.1"]
