"""Refusals as real servers word them, and what they say of the address."""

from __future__ import annotations

import pytest

from webapp.core.rules.bounces import classify, enhanced_code


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (550, "5.1.1 The email account that you tried to reach does not exist.", "hard"),
        (550, "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found", "hard"),
        (556, "5.1.10 The domain accepts no mail (null MX).", "hard"),
        (550, "5.1.2 No such domain", "hard"),
        (550, "5.2.1 The account is disabled", "hard"),
        (550, "No such user here", "hard"),
        (550, "User unknown", "hard"),
        (521, "This host does not accept mail", "hard"),
        (552, "5.2.2 The recipient's inbox is out of storage space", "soft"),
        (552, "Mailbox full", "soft"),
        (550, "Requested action aborted: mailbox is full", "soft"),
        (554, "5.3.4 Message too big for system", "soft"),
        (554, "Transaction failed", "soft"),
        (554, "5.6.3 Conversion required but not supported", "soft"),
        (550, "5.7.1 Unauthenticated email is not accepted due to the domain's DMARC policy", "block"),
        (550, "5.7.26 This mail has been blocked because the sender is unauthenticated", "block"),
        (554, "Your address 192.0.2.1 is listed at bl.example", "block"),
        (550, "Rejected as spam", "block"),
        (550, "5.1.0 Address rejected by policy", "block"),
        (550, "5.0.0 Blocked by reputation", "block"),
        (550, "5.0.0 User unknown", "hard"),
        (None, "", "soft"),
    ],
)
def test_a_refusal_is_read(code: int | None, text: str, kind: str) -> None:
    assert classify(code, text) == kind


@pytest.mark.parametrize(
    ("text", "code"),
    [("550-5.1.1 No", "5.1.1"), ("see 192.5.1.1", None), ("relay 5.1.1.7", None), ("4.2.2 full", "4.2.2"), ("", None)],
)
def test_an_enhanced_code_is_no_part_of_an_address(text: str, code: str | None) -> None:
    assert enhanced_code(text) == code
