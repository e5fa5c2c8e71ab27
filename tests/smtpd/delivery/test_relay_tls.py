"""TLS and log-ins of the relay transport: what is required, what is checked, and what never goes in clear."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from smtpd.delivery.transports import connect as connecting
from tests.smtpd.delivery.office import send, target
from tests.support.smtp_sink import SmtpSink, server_context

# Passwords in clear are what some of these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


def test_tls_is_used_when_offered_and_noted(sink: SmtpSink, tmp_path: Path) -> None:
    sink.tls = server_context(tmp_path)

    office = send(target(sink))

    assert sink.messages[0].in_tls
    attempt = office.outcomes["ann@example.org"].attempt
    assert attempt is not None
    assert attempt.tls == "TLSv1.3, certificate not trusted (self-signed)"


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
