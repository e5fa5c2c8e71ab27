"""Hashes outlive the parameters they were made with."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from webapp.core.services import hashing
from webapp.core.services.hashing import hash_password, matching

PASSWORD = "Tr0mbone-Sky!"


def test_the_hash_that_matches_is_found() -> None:
    old = hash_password("Old-Password!")
    new = hash_password(PASSWORD, beside=old)
    assert old.split("$")[4] == new.split("$")[4], "one computation tells about both"
    assert matching(PASSWORD, [old, new]) == 1
    assert matching("Wrong-one", [old, new]) is None
    assert matching(PASSWORD, []) is None


def test_a_hash_of_an_earlier_release_still_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = hash_password(PASSWORD)
    monkeypatch.setattr(hashing, "_hasher", PasswordHasher(time_cost=2, memory_cost=128, parallelism=2, hash_len=16))
    beside = hash_password("New-Password!", beside=earlier)
    assert matching(PASSWORD, [earlier, beside]) == 0
    assert matching("New-Password!", [earlier, beside]) == 1


@pytest.mark.usefixtures("real_hashes")
def test_hashes_cost_what_owasp_puts_first() -> None:
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in hash_password(PASSWORD)
