"""Mail signed here verifies with an independent implementation, as it arrived at a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from email.message import EmailMessage

import pytest
from flask import Flask

from tests.support.dkim_check import make_keys, publish, signatures
from tests.support.dns_server import DnsServer
from tests.support.factories import OFFICE, PASSWORD, make_domain, make_smtp_user, submission
from tests.support.queue import SOURCE, delivering, enqueue, settled, statuses, until
from tests.support.smtp_sink import SmtpSink
from webapp.core.models import Message
from webapp.core.services import dkim, domains
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway

MakeGateway = Callable[..., Gateway]


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer() as server:
        yield server


def multipart() -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Shop <shop@example.com>", "ann@example.org", "Grüße aus Köln"
    message["Reply-To"], message["List-Unsubscribe"] = "help@example.com", "<https://example.com/u>"
    message.set_content("Text \r\n\r\nwith blanks \t\r\n\r\n\r\n")
    message.add_alternative("<p>Größe</p>", subtype="html")
    message.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="pdf", filename="a.pdf")
    return message.as_bytes()  # LF line ends, as a careless client sends them


HEAD = "From: shop@example.com\r\nTo: ann@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
MESSAGES = {
    "simple": SOURCE,
    "multipart": multipart(),
    "8-bit": f"{HEAD}Content-Type: text/plain; charset=utf-8\r\n\r\nGrüße \r\n.\r\n..\r\n\r\n\r\n".encode(),
    "long lines": f"{HEAD}References: {'<a@b> ' * 300}\r\n\r\n{'x ' * 3000}\r\n.{'y' * 998}\r\n".encode(),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_comes_in_leaves_signed_with_both_keys(
    relaying: MakeGateway, sink: SmtpSink, dns: DnsServer, kind: str
) -> None:
    gateway = relaying()
    make_domain(gateway, vouch=True)
    make_keys(gateway, dns, "rsa", "ed25519")
    make_smtp_user(gateway)
    credential = gateway.authenticate_smtp("printer@example.com", PASSWORD, OFFICE)
    accepted = gateway.submit(submission(credential, source=MESSAGES[kind])).result(10)

    with delivering(gateway):
        until(lambda: settled(gateway))

    (arrived,) = sink.messages
    assert signatures(arrived.content, dns) == ["rsa", "ed25519"]
    with gateway.database.session() as session:
        message = session.get_one(Message, accepted.id)
        assert gateway.signing.as_sent(session, message) == arrived.content


def test_it_is_signed_after_the_conversion_for_a_server_without_8bitmime(
    relaying: MakeGateway, sink: SmtpSink, dns: DnsServer
) -> None:
    sink.hidden = {"8BITMIME"}
    gateway = relaying()
    make_domain(gateway)
    make_keys(gateway, dns, "rsa")
    enqueue(gateway, source=MESSAGES["8-bit"])

    with delivering(gateway):
        until(lambda: settled(gateway))

    (arrived,) = sink.messages
    assert arrived.content.isascii()
    assert signatures(arrived.content, dns) == ["rsa"]


def test_a_rotation_changes_the_signature_once_the_new_key_is_in_use(
    relaying: MakeGateway, sink: SmtpSink, dns: DnsServer
) -> None:
    gateway = relaying()
    make_domain(gateway)
    make_keys(gateway, dns, "ed25519")
    with gateway.database.session() as session:
        domain = domains.find(session, "example.com")
        new = dkim.add(session, gateway.vault, COMMAND_LINE, domain, "ed25519")
        publish(dns, new)
    first = enqueue(gateway)
    with delivering(gateway):
        until(lambda: statuses(gateway, first) == ["delivered"])
        with gateway.database.session() as session:
            dkim.activate(session, COMMAND_LINE, domains.find(session, "example.com"), session.merge(new))
        second = enqueue(gateway)
        until(lambda: statuses(gateway, second) == ["delivered"])

    old_selector, new_selector = (f"s={word};".encode() for word in (_old(gateway), new.selector))
    before, after = (message.content for message in sink.messages)
    assert old_selector in before
    assert old_selector not in after
    assert new_selector in after
    assert signatures(before, dns) == signatures(after, dns) == ["ed25519"]
    with gateway.database.session() as session:
        assert gateway.signing.as_sent(session, session.get_one(Message, first)) == before
        assert gateway.signing.as_sent(session, session.get_one(Message, second)) == after


def _old(gateway: Gateway) -> str:
    with gateway.database.session() as session:
        return next(key.selector for key in dkim.published(session, 1) if key.replaced_at)


def test_a_key_whose_record_was_not_found_signs_nothing(relaying: MakeGateway, sink: SmtpSink) -> None:
    gateway = relaying()
    make_domain(gateway)
    with gateway.database.session() as session:
        dkim.ensure(session, gateway.vault, domains.find(session, "example.com"))
    enqueue(gateway)
    with delivering(gateway):
        until(lambda: settled(gateway))
    assert sink.messages[0].content == SOURCE


def test_with_another_app_key_the_mail_still_leaves(
    relaying: MakeGateway, make_app: Callable[..., Flask], sink: SmtpSink, dns: DnsServer
) -> None:
    gateway = relaying()
    make_domain(gateway)
    make_keys(gateway, dns, "ed25519")
    (gateway.settings.data_dir / "secret.key").write_text("00" * 32)
    other = relaying()
    enqueue(other)
    with delivering(other):
        until(lambda: settled(other))
    assert sink.messages[0].content == SOURCE
