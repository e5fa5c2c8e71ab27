"""The password rule, and the form of API keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.core.rules.api_keys import digest_secret, new_api_key, parse_api_key
from webapp.core.rules.passwords import generate_password, password_problems


@pytest.mark.parametrize(
    "password",
    ["Abcdefg!", " Abcde ! ", "Ächtung€", "Ж" * 7 + "-", "A" + "b" * 126 + "?", "A😀bcdefg", "A\U0001fae8bcdefg"],
)
def test_passwords_that_meet_the_rule(password: str) -> None:
    assert password_problems(password) == []


@pytest.mark.parametrize(
    ("password", "word"),
    [
        ("Abcdef!", "at least 8"),
        ("abcdefg!", "capital"),
        ("Abcdefgh", "special"),
        ("Abcd efgh", "special"),
        ("Abcd\u00a0efgh", "special"),
        ("Abcd\u200befgh", "special"),
        ("Abcdefg²", "special"),
        ("Abcdefg\t", "control"),
        ("Abcdefg!\x7f", "control"),
        ("Abcdefg!\ud800", "control"),
        ("A!" + "b" * 127, "at most 128"),
        ("Ⅷbcdefg!", "capital"),
    ],
)
def test_passwords_that_do_not(password: str, word: str) -> None:
    assert word in " ".join(password_problems(password))


def test_generated_passwords_meet_the_rule_without_look_alikes() -> None:
    made = {generate_password() for _ in range(300)}

    assert len(made) == 300
    for password in made:
        assert len(password) == 20
        assert password_problems(password) == []
        assert not set(password) & set("0O1lI")
        assert set(password) & set("-!")


def test_a_key_survives_being_written_and_read() -> None:
    key = new_api_key()

    assert key.text.startswith(f"pl_{key.public_id}_")
    assert parse_api_key(key.text) == key
    assert key.secret not in repr(key)
    assert digest_secret(key.secret) != digest_secret(new_api_key().secret)


@given(st.text(max_size=80))
def test_anything_else_is_no_key(text: str) -> None:
    assert parse_api_key(text) is None
    assert parse_api_key(new_api_key().text + text + "x") is None
