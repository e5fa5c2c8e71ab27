"""Every refusal has its explanation, and whatever people paste is understood."""

from __future__ import annotations

import pytest

from webapp.core.rules.explanations import address_in, explain, references_in
from webapp.core.rules.refusals import Reason, Refused


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_is_explained(reason: Reason) -> None:
    explanation = explain(reason.answer.code)
    assert explanation != explain("no such code")
    assert explanation.what.endswith(".")
    assert explanation.to_do.endswith(".")


def test_the_cause_says_more_than_the_reason() -> None:
    assert "no SMTP user with this name" in explain("auth_failed", "unknown_user").what
    assert "password was wrong" in explain("auth_failed", "wrong_password").what
    assert explain("auth_failed", "a new cause") == explain("auth_failed")


def test_references_are_found_in_what_people_paste() -> None:
    refused = Refused(Reason.AUTH_FAILED)
    for text in (
        refused.reference,
        f" {refused.reference.lower()} ",
        f"[ref {refused.reference}]",
        f"ref: {refused.reference}.",
        refused.smtp_reply,
        f"smtplib.SMTPAuthenticationError: (535, b'{refused.smtp_reply}')",
    ):
        assert references_in(text) == [refused.reference]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" [192.0.2.1] ", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[IPv6:2001:db8::1]", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert references_in(text) == []
    assert address_in(text) == address


@pytest.mark.parametrize("text", ["", "hello", "ABCDEFGHI0", "ABCDEFGHJ", "192.0.2.1/24", "999.1.1.1", "<script>"])
def test_what_is_neither(text: str) -> None:
    assert references_in(text) == []
    assert address_in(text) is None


def test_a_reference_is_found_anywhere_in_a_log_or_a_bounce() -> None:
    log = '{"event": "refused", "reference": "QNYWGVKLVE", "ip": "192.0.2.1", "note": "STRUCTURED"}'
    assert references_in(log)[0] == "QNYWGVKLVE"
    assert references_in("HTTP/1.1 401\r\nX-Request-Id: 7KQ2M9XWPA\r\n") == ["7KQ2M9XWPA"]
    assert references_in("said: 450 4.7.1 wait\r\n   [ref\r\n 7KQ2M9XWPA]") == ["7KQ2M9XWPA"]
    assert references_in("lost 7KQ2M9XWPAX and x7KQ2M9XWPA") == []
