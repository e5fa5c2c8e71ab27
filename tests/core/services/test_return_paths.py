"""Return addresses: read again in any capitals, made up by nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.core.models import utcnow
from webapp.core.rules.identifiers import new_message_id
from webapp.core.services.return_paths import ReturnPath, ReturnPaths
from webapp.core.services.vault import Vault

OURS = ReturnPaths(Vault(bytes(32)), "Mail.Postlatch.test")
MESSAGE = new_message_id(utcnow())


@pytest.mark.parametrize("delivery_id", [None, 1, 2**63 - 1])
def test_what_was_made_is_read_again(delivery_id: int | None) -> None:
    path = ReturnPath(MESSAGE, delivery_id)
    address = OURS.address(path)
    assert len(address.partition("@")[0]) <= 64
    assert OURS.read(address) == OURS.read(address.upper()) == path
    assert ReturnPaths(Vault(bytes(31) + b"x"), "mail.postlatch.test").read(address) is None


def test_a_seal_holds_for_one_delivery() -> None:
    one, other = (OURS.address(ReturnPath(MESSAGE, n)).partition("@") for n in (1, 2))
    assert OURS.read(f"{one[0][:-1]}2@{one[2]}") is None
    assert OURS.read(f"{one[0].rpartition('-')[0]}@{one[2]}") is None, "nor for the message"
    assert OURS.read(f"{other[0]}@elsewhere.test") is None


@given(st.text(max_size=80))
def test_nothing_else_is_one(text: str) -> None:
    assert OURS.read(text) is None
    assert OURS.read(f"b-{text}@mail.postlatch.test") is None
