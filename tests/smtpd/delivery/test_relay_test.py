"""*Send test* against a real server: what is shown of the conversation, and what never is."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from smtpd.delivery.relay_test import NO_DOMAIN, NO_RELAY, relay_test_handler
from tests.support.factories import make_domain
from tests.support.smtp_sink import SmtpSink, server_context
from webapp import gateway_of
from webapp.core.services.gateway import Gateway
from webapp.core.services.tasks import Run, TaskError

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


def run_test(gateway: Gateway, domain_id: int | None = None, told: list[Any] | None = None) -> dict[str, Any]:
    heard = told if told is not None else []
    run = Run(1, {"to": "ann@example.org", "domain_id": domain_id}, heard.append)
    return dict(relay_test_handler(gateway)(run))


def said(result: dict[str, Any]) -> str:
    return "\n".join(f"{who} {line}" for who, line in result["lines"])


def test_the_conversation_is_shown_without_the_password(
    make_app: Callable[..., Flask], sink: SmtpSink, tmp_path: Path
) -> None:
    sink.tls, sink.login = server_context(tmp_path), ("bakery", "Tr0mbone")
    sink.replies["ann@example.org"] = "550 5.7.1 No mail for Tr0mbone today"
    gateway = gateway_of(make_app(relay_url=f"smtp+starttls://bakery:Tr0mbone@127.0.0.1:{sink.port}"))
    make_domain(gateway, vouch=True)

    result = run_test(gateway)
    sink.replies.clear()
    taken = run_test(gateway)

    text = said(result)
    for line in (
        "< 220 sink.test",
        "> EHLO mail.postlatch.test",
        "> STARTTLS",
        "> AUTH PLAIN ••••",
        "> RCPT TO:<ann@ex",
    ):
        assert line in text
    for secret in ("Tr0mbone", base64.b64encode(b"\0bakery\0Tr0mbone").decode()):
        assert secret not in str(result)
    assert result["verdict"] == "bounced"
    assert taken["verdict"] == "delivered"
    assert (taken["tls"] or "").startswith("TLSv1.3")
    (message,) = sink.messages
    assert (message.sender, message.recipients) == ("postmaster@example.com", ("ann@example.org",))


def test_answers_to_challenges_are_blacked_out(make_app: Callable[..., Flask], sink: SmtpSink) -> None:
    sink.without_mechanisms = ["PLAIN"]
    sink.login = ("bakery", "Tr0mbone")
    gateway = gateway_of(make_app(relay_url=f"smtp://bakery:Tr0mbone@127.0.0.1:{sink.port}"))
    make_domain(gateway, vouch=True)

    text = said(run_test(gateway))

    assert "> AUTH LOGIN" in text
    for secret in ("Tr0mbone", base64.b64encode(b"Tr0mbone").decode()):
        assert secret not in text


def test_what_keeps_it_from_being_sent_is_said(make_app: Callable[..., Flask], sink: SmtpSink) -> None:
    gateway = gateway_of(make_app())
    with pytest.raises(TaskError, match=NO_RELAY[:20]):
        run_test(gateway)
    gateway = gateway_of(make_app(relay_url=f"smtp://127.0.0.1:{sink.port}"))
    make_domain(gateway)
    with pytest.raises(TaskError, match=NO_DOMAIN[:20]):
        run_test(gateway)


def test_a_server_that_hangs_up_is_told_as_it_is(make_app: Callable[..., Flask], sink: SmtpSink) -> None:
    sink.drops.add("CONNECT")
    gateway = gateway_of(make_app(relay_url=f"smtp://127.0.0.1:{sink.port}"))
    make_domain(gateway, vouch=True)

    result = run_test(gateway)

    assert result["verdict"] == "failed"
    assert f"127.0.0.1:{sink.port}" in result["reason"]
