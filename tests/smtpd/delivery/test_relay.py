"""The relay transport against a real server on loopback: what goes over the wire, and what each answer means."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from smtpd.delivery.transports import connect as connecting
from smtpd.delivery.transports.base import Parcel
from smtpd.delivery.transports.connect import Timeouts
from smtpd.delivery.transports.pool import PoolLimits
from smtpd.delivery.transports.relay import RelayTransport
from tests.support.smtp_sink import SmtpSink, server_context
from webapp.core.rules.relay import RelayTarget
from webapp.core.services.deliveries import Claimed, Outcome

SOURCE = b"From: shop@example.com\r\nSubject: x\r\n\r\n.one\r\n..two\r\n.\r\nthree\r\n"
# Passwords in clear are what some of these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
QUICK = Timeouts(connect=0.5, command=0.5, data_end=0.5)


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as sink:
        yield sink


def target(sink: SmtpSink, scheme: str = "smtp", login: str = "") -> RelayTarget:
    return RelayTarget.parse(f"{scheme}://{login}127.0.0.1:{sink.port}")


class Office:
    """Sends through one transport, and keeps what it reported, by recipient."""

    def __init__(self, transport: RelayTransport) -> None:
        self.transport = transport
        self.outcomes: dict[str, Outcome] = {}
        self.ours = True

    async def send(
        self,
        *recipients: str,
        fresh: bool = True,
        source: bytes = SOURCE,
        sender: str = "shop@example.com",
        **flags: bool,
    ) -> None:
        to = dict(enumerate(recipients or ("ann@example.org",)))
        message = Claimed(
            message_id="m",
            envelope_from="shop@example.com",
            captured=False,
            size=len(source),
            eight_bit=flags.get("eight_bit", False),
            smtputf8=flags.get("smtputf8", False),
            recipients=to,
        )

        async def load() -> bytes:
            return source

        async def report(outcomes: Sequence[Outcome]) -> None:
            for outcome in outcomes:
                assert to[outcome.delivery_id] not in self.outcomes, "reported twice"
                self.outcomes[to[outcome.delivery_id]] = outcome

        await self.transport.deliver(Parcel(message, fresh, load, lambda: self.ours), report)

    def result(self, recipient: str = "ann@example.org") -> tuple[str, int | None, str | None]:
        outcome = self.outcomes[recipient]
        return str(outcome.status), outcome.smtp_code, outcome.reason


def use(relay: RelayTarget, script: Callable[[Office], Any], **options: Any) -> Office:
    """Run *script* with a transport to *relay*, and close that."""

    async def main() -> Office:
        office = Office(RelayTransport(relay, hostname="mail.postlatch.test", **options))
        try:
            await script(office)
        finally:
            await office.transport.close()
        return office

    return asyncio.run(main())


def send(relay: RelayTarget, *recipients: str, timeouts: Timeouts = QUICK, **values: Any) -> Office:
    return use(relay, lambda office: office.send(*recipients, **values), timeouts=timeouts)


def test_a_message_arrives_octet_for_octet(sink: SmtpSink) -> None:
    office = send(target(sink))

    (message,) = sink.messages
    assert message.content == SOURCE
    assert (message.sender, message.recipients) == ("shop@example.com", ("ann@example.org",))
    assert message.options == (f"SIZE={len(SOURCE)}",)
    assert office.result() == ("delivered", 250, "2.0.0 Taken as number 1")
    attempt = office.outcomes["ann@example.org"].attempt
    assert attempt is not None
    assert (attempt.transport, attempt.host, attempt.tls) == ("relay", f"127.0.0.1:{sink.port}", None)


def test_a_server_that_takes_two_of_three_recipients(sink: SmtpSink) -> None:
    sink.replies["no@example.org"] = "550 5.1.1 Unknown here"
    sink.replies["later@example.org"] = "450 4.2.0 Greylisted"

    office = send(target(sink), "a@example.org", "no@example.org", "b@example.org", "later@example.org")

    assert [m.recipients for m in sink.messages] == [("a@example.org", "b@example.org")]
    assert office.result("a@example.org")[0] == office.result("b@example.org")[0] == "delivered"
    assert office.result("no@example.org") == ("bounced", 550, "5.1.1 Unknown here")
    assert office.result("later@example.org") == ("deferred", 450, "4.2.0 Greylisted")


@pytest.mark.parametrize("stage", ["MAIL", "ann@example.org", "DATA"])
@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("550 5.7.1 Refused", "bounced"),
        ("451 4.3.0 Not now", "deferred"),
        ("421 4.3.2 Closing", "deferred"),
        ("530 5.7.0 Log in first", "deferred"),
        ("250-2.0.0 One\r\n250 2.0.0 two", "delivered"),
    ],
)
def test_each_answer_at_each_stage(sink: SmtpSink, stage: str, reply: str, status: str) -> None:
    sink.replies[stage] = reply

    office = send(target(sink))

    assert office.result()[0] == status
    assert len(sink.messages) == (status == "delivered")
    if status != "delivered":
        assert office.result()[1] == int(reply[:3])


@pytest.mark.parametrize("stage", ["EHLO", "MAIL", "b@example.org", "DATA"])
@pytest.mark.parametrize("trouble", ["drops", "hangs"])
def test_a_server_that_breaks_off_or_falls_silent_defers_whom_it_had_not_settled(
    sink: SmtpSink, stage: str, trouble: str
) -> None:
    sink.replies["no@example.org"] = "550 5.1.1 Unknown"
    getattr(sink, trouble).add(stage)

    office = send(target(sink), "no@example.org", "a@example.org", "b@example.org")

    settled = stage in {"b@example.org", "DATA"}
    assert office.result("no@example.org")[0] == ("bounced" if settled else "deferred")
    assert office.result("a@example.org")[0] == "deferred"
    assert office.result("b@example.org")[0] == "deferred"
    assert f"127.0.0.1:{sink.port}" in (office.result("a@example.org")[2] or "")


def test_421_in_the_middle_leaves_what_was_refused_before_refused(sink: SmtpSink) -> None:
    sink.replies |= {"no@example.org": "550 5.1.1 Unknown", "b@example.org": "421 4.3.2 Closing"}

    office = send(target(sink), "no@example.org", "a@example.org", "b@example.org", "c@example.org")

    assert sink.messages == []
    assert office.result("no@example.org")[0] == "bounced"
    assert {office.result(f"{who}@example.org")[0] for who in "abc"} == {"deferred"}


def test_a_reply_cannot_bring_octets_that_the_database_refuses(sink: SmtpSink) -> None:
    sink.replies["MAIL"] = "550 5.7.1 \x00\x1b[31m\udcff " + "x" * 2000

    status, _, reason = send(target(sink)).result()

    assert status == "bounced"
    assert reason is not None
    assert reason.isprintable()
    assert len(reason) <= 500


@pytest.mark.parametrize(("offers", "options"), [(True, {"SMTPUTF8", "BODY=8BITMIME"}), (False, set())])
def test_extensions_are_used_when_offered(sink: SmtpSink, offers: bool, options: set[str]) -> None:
    if not offers:
        sink.hidden = {"SIZE", "8BITMIME", "SMTPUTF8"}
    source = "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße\r\n".encode()

    office = send(target(sink), "ann@example.org", "jürgen@example.org", source=source, eight_bit=True, smtputf8=True)

    (message,) = sink.messages
    assert set(message.options) - {f"SIZE={len(source)}"} == options
    assert office.result("ann@example.org")[0] == "delivered"
    if offers:
        assert message.content == source
        assert message.recipients == ("ann@example.org", "jürgen@example.org")
    else:
        assert message.content.isascii()
        assert b"quoted-printable" in message.content.lower() or b"base64" in message.content.lower()
        assert message.recipients == ("ann@example.org",)
        assert office.result("jürgen@example.org")[:2] == ("bounced", 553)


def test_headers_outside_ascii_bounce_where_smtputf8_is_missing(sink: SmtpSink) -> None:
    sink.hidden = {"SMTPUTF8"}

    office = send(target(sink), source="Subject: Grüße\r\n\r\nx\r\n".encode(), eight_bit=True, smtputf8=True)

    assert sink.messages == []
    assert office.result()[:2] == ("bounced", 553)


def test_tls_is_used_when_offered_and_noted(sink: SmtpSink, tmp_path: Path) -> None:
    sink.tls = server_context(tmp_path)

    office = send(target(sink))

    assert sink.messages[0].in_tls
    attempt = office.outcomes["ann@example.org"].attempt
    assert attempt is not None
    assert attempt.tls == "TLSv1.3, certificate not checked"


@pytest.mark.parametrize("login", ["", "user:right@"])
def test_tls_that_fails_where_it_was_only_offered(
    sink: SmtpSink, tmp_path: Path, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "is_loopback", lambda _host: False)
    sink.tls = server_context(tmp_path)
    sink.tls.minimum_version = sink.tls.maximum_version = ssl.TLSVersion.TLSv1_2
    sink.tls.set_ciphers("NULL")  # nothing that we would take
    sink.login = ("user", "right") if login else None

    office = send(target(sink, login=login))

    assert [m.in_tls for m in sink.messages] == ([] if login else [False])
    assert office.result()[0] == ("deferred" if login else "delivered")
    assert sink.log_ins == []


def test_implicit_tls(tmp_path: Path) -> None:
    with SmtpSink(tls=server_context(tmp_path), implicit_tls=True) as sink:
        office = send(target(sink, "smtps"))

    assert sink.messages[0].in_tls
    assert office.result()[0] == "delivered"


@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
def test_required_tls_checks_the_certificate_of_other_machines(
    tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "is_loopback", lambda _host: False)
    with SmtpSink(tls=server_context(tmp_path), implicit_tls=scheme == "smtps") as sink:
        office = send(target(sink, scheme))

    assert sink.messages == []
    status, _, reason = office.result()
    assert status == "deferred"
    assert "certificate" in (reason or "")


def test_required_starttls_that_is_not_offered_sends_nothing(sink: SmtpSink) -> None:
    office = send(target(sink, "smtp+starttls"))

    assert sink.messages == []
    assert office.result()[0] == "deferred"
    assert "STARTTLS" in (office.result()[2] or "")


def test_a_log_in_inside_tls(sink: SmtpSink, tmp_path: Path) -> None:
    sink.tls, sink.login = server_context(tmp_path), ("user@relay", "pässword %40")

    office = send(target(sink, "smtp+starttls", "user%40relay:p%C3%A4ssword%20%2540@"))

    assert office.result()[0] == "delivered"
    assert sink.messages[0].in_tls
    assert sink.messages[0].user == "user@relay"


def test_a_wrong_relay_password_defers_and_is_tried_once_and_not_told(sink: SmtpSink) -> None:
    sink.login = ("user", "right")

    office = send(target(sink, login="user:wr0ng-secret@"))

    status, code, reason = office.result()
    assert (status, code) == ("deferred", 535)
    assert "refused the relay's user or password" in (reason or "")
    assert "wr0ng" not in (reason or "")
    assert sink.log_ins == [("user", "wr0ng-secret")]


def test_a_password_never_goes_in_clear_to_another_machine(sink: SmtpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "is_loopback", lambda _host: False)
    sink.login = ("user", "right")

    office = send(target(sink, login="user:right@"))

    assert sink.log_ins == []
    assert office.result()[0] == "deferred"
    assert "in clear" in (office.result()[2] or "")


def test_a_port_where_nobody_listens_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        relay = RelayTarget.parse(f"smtp://127.0.0.1:{unused.getsockname()[1]}")
        office = send(relay)

    assert office.result() == ("deferred", None, f"{relay.label} can't be reached: Connection refused.")


def test_one_connection_serves_many_messages_and_is_left_in_time(sink: SmtpSink) -> None:
    async def script(office: Office) -> None:
        for number in range(7):
            await office.send(f"r{number}@example.org")

    use(target(sink), script, limits=PoolLimits(messages=5))

    assert [m.connection for m in sink.messages] == [1, 1, 1, 1, 1, 2, 2]


def test_many_at_once_share_few_connections(sink: SmtpSink) -> None:
    async def script(office: Office) -> None:
        await asyncio.gather(*(office.send(f"r{number}@example.org") for number in range(60)))

    office = use(target(sink), script, limits=PoolLimits(connections=3))

    assert len(sink.messages) == 60
    assert sink.connections <= 3
    assert {outcome.status for outcome in office.outcomes.values()} == {"delivered"}


def test_a_connection_that_the_server_has_had_enough_of_is_replaced_at_once(sink: SmtpSink) -> None:
    sink.most_messages = 2

    async def script(office: Office) -> None:
        for number in range(5):
            await office.send(f"r{number}@example.org")

    office = use(target(sink), script)

    assert [m.connection for m in sink.messages] == [1, 1, 2, 2, 3]
    assert {outcome.status for outcome in office.outcomes.values()} == {"delivered"}


def test_a_connection_closed_while_idle_is_replaced_at_once(sink: SmtpSink) -> None:
    async def script(office: Office) -> None:
        await office.send("a@example.org")
        await asyncio.to_thread(sink.stop)
        await asyncio.to_thread(sink.start)
        await office.send("b@example.org")

    office = use(target(sink), script)

    assert office.result("b@example.org")[0] == "delivered"


def test_nothing_is_sent_once_the_lease_is_lost(sink: SmtpSink) -> None:
    async def script(office: Office) -> None:
        office.ours = False
        await office.send()

    office = use(target(sink), script)

    assert sink.messages == []
    assert office.outcomes == {}


def test_while_it_cools_down_retries_are_put_off_and_new_mail_is_tried(sink: SmtpSink) -> None:
    async def script(office: Office) -> None:
        await office.send("first@example.org")
        await office.send("retry@example.org", fresh=False)
        sink.replies.pop("CONNECT")
        await office.send("new@example.org")
        await office.send("retry2@example.org", fresh=False)

    sink.replies["CONNECT"] = "421 4.3.2 Not now"
    office = use(target(sink), script)

    assert office.result("first@example.org")[:2] == ("deferred", 421)
    put_off = office.outcomes["retry@example.org"]
    assert (put_off.status, put_off.attempt) == ("deferred", None)
    assert put_off.not_before is not None
    assert office.result("new@example.org")[0] == "delivered"
    assert office.result("retry2@example.org")[0] == "delivered", "one success ends the cool-down"


def test_retries_leave_room_for_new_mail(sink: SmtpSink) -> None:
    sink.hangs.add("stuck@example.org")

    async def script(office: Office) -> None:
        stuck = [asyncio.create_task(Office(office.transport).send("stuck@example.org", fresh=False)) for _ in range(9)]
        while sink.connections < 2:
            await asyncio.sleep(0)
        await office.send("new@example.org")
        assert not any(task.done() for task in stuck)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)

    office = use(target(sink), script, limits=PoolLimits(connections=4, retries=2), timeouts=Timeouts())

    assert office.result("new@example.org")[0] == "delivered"


def test_those_who_waited_for_a_connection_share_the_finding_that_there_is_none(sink: SmtpSink) -> None:
    sink.hangs.add("CONNECT")

    async def script(office: Office) -> None:
        await asyncio.gather(*(office.send(f"r{number}@example.org") for number in range(40)))

    office = use(target(sink), script, limits=PoolLimits(connections=2), timeouts=QUICK)

    assert sink.connections <= 3
    assert {outcome.status for outcome in office.outcomes.values()} == {"deferred"}
    assert all(outcome.attempt for outcome in office.outcomes.values())
