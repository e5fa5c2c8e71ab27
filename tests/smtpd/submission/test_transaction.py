"""MAIL, RCPT and DATA on real sockets."""

from __future__ import annotations

import smtplib
from concurrent.futures import Future

import pytest

from tests.smtpd.submission.conftest import MakeServer
from tests.smtpd.submission.memory_gateway import PASSWORD, USER, MemoryGateway
from tests.smtpd.submission.wire import PATIENCE, RunningServer, Wire, trusting
from webapp.core.rules.refusals import Reason, Refused

MESSAGE = b"From: printer@example.test\r\nSubject: hello\r\n\r\nbody\r\n"


@pytest.mark.parametrize("implicit", [False, True])
def test_a_mail_program_can_send(server: RunningServer, gateway: MemoryGateway, implicit: bool) -> None:
    if implicit:
        client: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", server.tls_port, context=trusting(), timeout=PATIENCE)
    else:
        client = smtplib.SMTP("127.0.0.1", server.starttls_port, timeout=PATIENCE)
        client.starttls(context=trusting())
    with client:
        client.login(USER, PASSWORD)
        client.sendmail("printer@example.test", ["a@r.test", "b@r.test"], MESSAGE)
    submission = gateway.submissions[0]
    assert submission.source == MESSAGE
    assert submission.envelope_from == "printer@example.test"
    assert submission.recipients == ("a@r.test", "b@r.test")
    assert submission.peer.protocol == "ESMTPSA"
    assert submission.peer.ip == "127.0.0.1"
    assert not submission.smtputf8


def test_250_comes_only_when_the_message_is_stored(wire: Wire, gateway: MemoryGateway) -> None:
    stored: Future = Future()
    gateway.on_submit = lambda submission: stored
    wire.begin()
    wire.send(MESSAGE + b".\r\n")
    assert gateway.submitted.acquire(timeout=PATIENCE)
    wire.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        wire.reply()
    wire.socket.settimeout(PATIENCE)
    stored.set_exception(Refused(Reason.STORAGE))
    assert wire.reply().startswith("451 4.3.0")


def test_a_pipelined_group_is_answered_in_order(wire: Wire, gateway: MemoryGateway) -> None:
    wire.send(
        "MAIL FROM:<printer@example.test> BODY=8BITMIME SIZE=100\r\n"
        "RCPT TO:<a@r.test>\r\nRCPT TO:<nobody>\r\nRCPT TO:<b@r.test>\r\nDATA\r\n"
    )
    codes = [wire.reply()[:9] for _ in range(5)]
    assert codes == ["250 2.1.0", "250 2.1.5", "553 5.1.3", "250 2.1.5", "354 End d"]
    wire.send(MESSAGE + b".\r\nMAIL FROM:<printer@example.test>\r\nRCPT TO:<c@r.test>\r\nDATA\r\n")
    assert [wire.reply()[:5] for _ in range(4)] == ["250 2", "250 2", "250 2", "354 E"]
    wire.send(b".\r\nQUIT\r\n")
    assert wire.reply() == "250 2.0.0 Accepted as m2"
    assert wire.reply().startswith("221 2.0.0")
    assert wire.closed()
    assert [s.recipients for s in gateway.submissions] == [("a@r.test", "b@r.test"), ("c@r.test",)]
    assert gateway.submissions[1].source == b""


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("MAIL FROM:<printer@example.test>", "250 2.1.0"),
        ("mail from: <printer@example.test>", "250 2.1.0"),
        ("MAIL FROM:<printer@example.test> AUTH=<>", "250 2.1.0"),
        ("MAIL FROM:<printer@example.test> SIZE=26214400 BODY=7BIT", "250 2.1.0"),
        ("MAIL FROM:<@relay.test,@b.test:printer@example.test>", "250 2.1.0"),
        ('MAIL FROM:<"a > b"@example.test>', "250 2.1.0"),
        ("MAIL FROM:<jürgen@example.test> SMTPUTF8", "250 2.1.0"),
        ("MAIL FROM:<jürgen@example.test>", "553 5.6.7"),
        (b"MAIL FROM:<j\xfcrgen@example.test> SMTPUTF8", "501 5.5.4"),
        ("MAIL FROM:<printer@example.test> SIZE=26214401", "552 5.3.4"),
        ("MAIL FROM:<printer@example.test> SIZE=99999999999999999999", "552 5.3.4"),
        ("MAIL FROM:<printer@example.test> SIZE=-1", "501 5.5.4"),
        ("MAIL FROM:<printer@example.test> SIZE", "501 5.5.4"),
        ("MAIL FROM:<printer@example.test> SIZE=1 SIZE=2", "501 5.5.4"),
        ("MAIL FROM:<printer@example.test> BODY=BINARYMIME", "501 5.5.4"),
        ("MAIL FROM:<printer@example.test> SMTPUTF8=1", "501 5.5.4"),
        ("MAIL FROM:<printer@example.test> RET=HDRS", "555 5.5.4"),
        ("MAIL FROM:<printer@example.test> =", "501 5.5.4"),
        ("MAIL FROM:<>", "553 5.7.1"),
        ("MAIL FROM:<boss@elsewhere.test>", "553 5.7.1"),
        ("MAIL FROM:<a b@example.test>", "553 5.1.7"),
        ("MAIL FROM:<a@example.test>x", "553 5.1.7"),
        ("MAIL FROM:printer@example.test", "501 5.5.4"),
        ("MAIL FROM:", "501 5.5.4"),
        ("MAIL", "501 5.5.4"),
        ("MAIL TO:<printer@example.test>", "501 5.5.4"),
        ("RCPT TO:<a@r.test>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
    ],
)
def test_mail(wire: Wire, line: str | bytes, reply: str) -> None:
    assert wire.command(line)[:9] == reply
    assert wire.command("QUIT").startswith("221 2.0.0")


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("RCPT TO:<a@r.test>", "250 2.1.5"),
        ("rcpt to: <a@r.test>", "250 2.1.5"),
        ("RCPT TO:<@hop.test:a@r.test>", "250 2.1.5"),
        ("RCPT TO:<not an address>", "553 5.1.3"),
        ("RCPT TO:<a@nodot>", "553 5.1.3"),
        ("RCPT TO:<a@[127.0.0.1]>", "553 5.1.3"),
        ("RCPT TO:<>", "553 5.1.3"),
        ("RCPT TO:<ü@r.test>", "553 5.6.7"),
        ("RCPT TO:<a@r.test> NOTIFY=NEVER", "555 5.5.4"),
        ("RCPT TO:a@r.test", "501 5.5.4"),
        ("RCPT TO:", "501 5.5.4"),
        ("RCPT", "501 5.5.4"),
        (b"RCPT TO:<a\x00@r.test>", "500 5.5.2"),
        ("MAIL FROM:<printer@example.test>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
    ],
)
def test_rcpt(wire: Wire, line: str | bytes, reply: str) -> None:
    assert wire.command("MAIL FROM:<printer@example.test>").startswith("250 2.1.0")
    assert wire.command(line)[:9] == reply
    assert wire.command("QUIT").startswith("221 2.0.0")


def test_recipients_beyond_the_limit_are_refused_and_the_others_stay(make_server: MakeServer) -> None:
    server, gateway = make_server(max_recipients=3)
    with server.logged_in(USER, PASSWORD) as wire:
        assert wire.command("MAIL FROM:<printer@example.test>").startswith("250")
        replies = [wire.command(f"RCPT TO:<r{n}@r.test>")[:9] for n in range(30)]
        assert replies == ["250 2.1.5"] * 3 + ["452 4.5.3"] * 27
        assert wire.command("DATA").startswith("354")
        assert wire.command(".") == "250 2.0.0 Accepted as m1"
    assert gateway.submissions[0].recipients == ("r0@r.test", "r1@r.test", "r2@r.test")


def test_smtputf8_is_told_to_the_gateway(wire: Wire, gateway: MemoryGateway) -> None:
    assert wire.command("MAIL FROM:<jürgen@example.test> SMTPUTF8").startswith("250")
    assert wire.command("RCPT TO:<ü@r.test>").startswith("250")
    assert wire.command("DATA").startswith("354")
    assert wire.command(".").startswith("250")
    assert gateway.submissions[0].smtputf8
    assert gateway.submissions[0].peer.protocol == "UTF8SMTPSA"
    assert gateway.submissions[0].recipients == ("ü@r.test",)


def test_a_reset_forgets_the_message(wire: Wire, gateway: MemoryGateway) -> None:
    assert wire.command("MAIL FROM:<printer@example.test>").startswith("250")
    assert wire.command("RCPT TO:<a@r.test>").startswith("250")
    assert wire.command("RSET").startswith("250 2.0.0")
    assert wire.command("DATA").startswith("503 5.5.1")
    assert wire.command("RSET now").startswith("501 5.5.4")
    wire.begin("b@r.test")
    assert wire.command(".").startswith("250")
    assert gateway.submissions[0].recipients == ("b@r.test",)


def test_ehlo_forgets_the_message_and_keeps_the_login(wire: Wire) -> None:
    assert wire.command("MAIL FROM:<printer@example.test>").startswith("250")
    wire.ehlo()
    assert wire.command("RCPT TO:<a@r.test>").startswith("503 5.5.1")
    wire.begin()


def test_parameters_need_ehlo(wire: Wire, gateway: MemoryGateway) -> None:
    assert wire.command("HELO client.test") == "250 mail.postlatch.test"
    assert wire.command("MAIL FROM:<printer@example.test> SIZE=1").startswith("555 5.5.4")
    wire.begin()
    assert wire.command(".").startswith("250")
    assert gateway.submissions[0].peer.protocol == "SMTP"


def test_mail_needs_a_login(server: RunningServer) -> None:
    for tls in (False, True):
        with server.greeted(tls=tls) as wire:
            assert wire.command("MAIL FROM:<printer@example.test>").startswith("530 5.7.0")
            assert wire.command("RCPT TO:<a@r.test>").startswith("503 5.5.1")
            assert wire.command("DATA").startswith("503 5.5.1")


def test_data_takes_no_argument(wire: Wire) -> None:
    assert wire.command("MAIL FROM:<printer@example.test>").startswith("250")
    assert wire.command("RCPT TO:<a@r.test>").startswith("250")
    assert wire.command("DATA now").startswith("501 5.5.4")
    assert wire.command("DATA").startswith("354")


def test_a_refusal_of_the_content_ends_only_the_message(wire: Wire, gateway: MemoryGateway) -> None:
    def refuse(submission: object) -> None:
        raise Refused(Reason.FROM_NOT_ALLOWED, problem="is missing", domain="example.test")

    gateway.on_submit = refuse
    wire.begin()
    assert wire.command(".").startswith("550 5.7.1")
    gateway.on_submit = lambda submission: None
    wire.begin()
    assert wire.command(".").startswith("250")


def test_a_client_that_vanishes_does_not_undo_what_is_being_stored(
    server: RunningServer, gateway: MemoryGateway
) -> None:
    stored: Future = Future()
    gateway.on_submit = lambda submission: stored
    wire = server.logged_in(USER, PASSWORD)
    wire.begin()
    wire.send(MESSAGE + b".\r\n")
    assert gateway.submitted.acquire(timeout=PATIENCE)
    wire.socket.close()
    assert not stored.cancelled()
    assert stored.set_running_or_notify_cancel()
    stored.set_result(None)
    gateway.on_submit = lambda submission: None
    with server.logged_in(USER, PASSWORD) as wire:
        wire.begin()
        assert wire.command(".").startswith("250")
