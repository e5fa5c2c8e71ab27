"""Listening, the certificate, and the end."""

from __future__ import annotations

import socket
import ssl
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from smtpd.submission.certificate import Certificate
from smtpd.submission.server import ListenError
from tests.smtpd.submission.conftest import MakeServer
from tests.smtpd.submission.memory_gateway import PASSWORD, USER, receipt
from tests.smtpd.submission.wire import PATIENCE, RunningServer, Wire, plain, trusting, until, write_certificate
from webapp.core.rules.submission import Submission
from webapp.net.server_tls import CertificateError


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
