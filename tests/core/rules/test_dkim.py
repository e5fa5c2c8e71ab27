"""DKIM signatures, checked by dkimpy, which knows nothing of our code."""

from __future__ import annotations

from datetime import UTC, datetime

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from webapp.core.rules.dkim import Signer, public_value, relaxed_body, signatures
from webapp.core.rules.header_fields import canonicalise

RSA = generate_private_key(65537, 2048)
ED25519 = Ed25519PrivateKey.generate()
SIGNERS = (Signer("example.com", "r1", RSA), Signer("example.com", "e1", ED25519))
AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
RECORDS = {
    b"r1._domainkey.example.com.": f"v=DKIM1; k=rsa; p={public_value(RSA)}".encode(),
    b"e1._domainkey.example.com.": f"v=DKIM1; k=ed25519; p={public_value(ED25519)}".encode(),
}
SIMPLE = (
    b"Received: from x by y;\r\n\tWed, 25 Nov 2026 12:00:00 +0000\r\nFrom: Shop  <shop@example.com>\r\n"
    b"To: ann@example.org,\r\n  bob@example.org\r\nSubject:  Your\t order \r\nDate: Wed, 25 Nov 2026 12:00:00 +0000\r\n"
    b"Message-ID: <1@example.com>\r\n\r\nHello.\r\n"
)


def signed(source: bytes, signers: tuple[Signer, ...], at: datetime) -> bytes:
    return signatures(source, signers, at) + source


def verified(source: bytes) -> list[bool]:
    """Whether each signature holds, from the first on."""
    count = source.partition(b"\r\n\r\n")[0].count(b"DKIM-Signature:")
    return [_holds(dkim.DKIM(source), index) for index in range(count)]


def _holds(checker: dkim.DKIM, index: int) -> bool:
    try:
        return bool(checker.verify(index, dnsfunc=lambda name, **_: RECORDS.get(name)))
    except dkim.ValidationError:  # the body's hash is another
        return False


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n\r\n",
        b"Hello.\r\n\r\n\r\n",
        b" \t two  blanks\t\r\n \r\nx \r\n",
        "Grüße\r\n".encode(),
        b"x" * 5000 + b"\r\n.\r\n..\r\n",
    ],
)
def test_both_kinds_verify(body: bytes) -> None:
    source = SIMPLE.replace(b"Hello.\r\n", body)
    result = signed(source, SIGNERS, AT)
    assert result.endswith(source)
    assert verified(result) == [True, True]
    assert result == signed(source, SIGNERS, AT), "the same octets again"
    assert all(len(line) <= 78 for line in result[: -len(source)].split(b"\r\n"))


def test_without_a_key_nothing_is_added() -> None:
    assert signed(SIMPLE, (), AT) == SIMPLE


@pytest.mark.parametrize(
    "added",
    [b"From: evil@example.net", b"Subject: Other", b"Reply-To: evil@example.net", b"Content-Type: text/html"],
)
def test_a_header_added_on_the_way_breaks_it(added: bytes) -> None:
    assert verified(signed(SIMPLE, SIGNERS, AT)) == [True, True]
    assert verified(added + b"\r\n" + signed(SIMPLE, SIGNERS, AT)) == [False, False]


def test_what_relays_do_on_the_way_does_not_break_it() -> None:
    result = signed(SIMPLE, SIGNERS, AT).replace(b"Subject:  Your\t order ", b"subject: Your order")
    assert verified(b"Received: from a by b\r\nX-Spam: no\r\n" + result) == [True, True]


def test_changed_words_break_it() -> None:
    result = signed(SIMPLE, SIGNERS, AT)
    assert verified(result.replace(b"Hello.", b"Hallo.")) == [False, False]
    assert verified(result.replace(b"Your", b"Their")) == [False, False]


@given(st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"a", b"\xe9", b".", b":", b"From: x"]), max_size=40))
def test_any_body_verifies(parts: list[bytes]) -> None:
    source = canonicalise(SIMPLE + b"".join(parts))
    assert verified(signed(source, SIGNERS[1:], AT)) == [True]


@given(st.lists(st.sampled_from([b" ", b"\t", b"\r\n ", b"a", b":", b";", "ü".encode(), b"="]), max_size=30))
def test_any_header_verifies(parts: list[bytes]) -> None:
    source = b"List-Unsubscribe: x" + b"".join(parts) + b"\r\nSubject: second\r\n" + SIMPLE
    assert verified(signed(source, SIGNERS[1:], AT)) == [True]


def test_a_body_of_blanks_takes_linear_time() -> None:
    assert relaxed_body(b" " * 2_000_000 + b"x") == b" x\r\n"
