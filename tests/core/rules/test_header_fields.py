"""Headers that want to be misread, or to take up the server's time."""

from __future__ import annotations

import email.policy
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.core.rules.addresses import AddressError
from webapp.core.rules.encoded_words import decode_words
from webapp.core.rules.header_fields import Field, canonicalise, decoded, mailboxes, one_mailbox, split_header

#: Seconds. Linear reading takes some milliseconds; the quadratic kind took between ten seconds and minutes.
PATIENCE = 2.0
SIZE = 120_000


@pytest.mark.parametrize(
    "unit", ['\\"', '"', '"\\', "(", ")", "<", "<>", '<"', "=?a?q?", "=?a?q?x?= ", ",", "a@b.c,", " "]
)
def test_no_header_takes_long_to_read(unit: str) -> None:
    value = '"' + unit * (SIZE // len(unit))
    started = time.process_time()
    for read in (one_mailbox, mailboxes):
        for text in (value, value[1:]):
            try:
                read(text)
            except AddressError:
                continue
    decoded(value)

    assert time.process_time() - started < PATIENCE


@pytest.mark.parametrize("unit", [b"X:\r\n", b"X: y\r\n\t", b" \r\n", b"\r\n ", b"X", b"\r", b"\n", b"From \r\n"])
def test_no_header_section_takes_long_to_split(unit: bytes) -> None:
    source = b"X: y\r\n" + unit * (SIZE // len(unit))
    started = time.process_time()
    split_header(canonicalise(source))

    assert time.process_time() - started < PATIENCE


@pytest.mark.parametrize(
    "value",
    [
        "shop@exam(x)ple.com",
        "=?utf-8?q?ceo=40evil.example?=@example.com",
        "shop\ufffd@example.com",
        '"shop\ufffd"@example.com',
        'x "y <shop@example.com>',
        "<shop@example.com",
        "ceo@evil.example <shop@example.com>",
        "ceo @ evil.example <shop@example.com>",
    ],
)
def test_addresses_that_readers_could_read_differently(value: str) -> None:
    with pytest.raises(AddressError):
        one_mailbox(value)


def test_each_mailbox_of_a_list_is_seen() -> None:
    found = mailboxes('"Doe, \\" J" <j@x.org>, (a, b) b@y.org ,, C <c@z.org>')

    assert [mailbox.email for mailbox in found] == ["j@x.org", "b@y.org", "c@z.org"]
    with pytest.raises(AddressError):
        mailboxes('j@x.org, " b@y.org')


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?UTF-8?B?R3LDvMOfZQ?=", "Grüße"),
        ("=?iso-8859-1*de?Q?Gr=FC=DFe_an?= alle", "Grüße an alle"),
        ("a =?utf-8?q?b?=  =?utf-8?q?c?= d", "a bc d"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
        ("=?utf-8?q?a?= =?iso-8859-1?q?=FC?=", "aü"),
        ("=?x-unknown?q?a?= =?utf-8?q?b?=", "=?x-unknown?q?a?= b"),
        ("=?utf-8?b?abcde?= =?utf-8?q?b?=", "=?utf-8?b?abcde?= b"),
        ("=?punycode?q?abc?=", "=?punycode?q?abc?="),
        ("=?zip?q?abc?=", "=?zip?q?abc?="),
        ("=?utf-8?q?=FF?=", "\ufffd"),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
    ],
)
def test_encoded_words(value: str, expected: str) -> None:
    assert decode_words(value) == expected


def test_a_decoded_value_holds_no_control_character_and_no_surrogate() -> None:
    assert decoded("=?utf-8?q?a=0D=0Ab=00c=7F?=\u2028d") == "a b c d"
    assert decoded("=?utf-7?q?+2AA-?=").encode()
    assert decoded("x" * 3000) == "x" * 998


def test_old_programs_write_windows_1252() -> None:
    assert Field("subject", b"Subject: Gr\xfc\xdfe \x80\r\n").text == "Grüße €"
    assert Field("subject", b"Subject: Gr\xfc\xdfe\r\n").value == "Gr\ufffd\ufffde"


def test_a_mailbox_files_first_line_is_dropped() -> None:
    fields, body = split_header(b"From x@y Thu Jan  1 00:00:00 2026\r\nFrom: a@b.c\r\n d\r\n\r\nbody\r\n")

    assert [(field.name, field.raw) for field in fields] == [("from", b"From: a@b.c\r\n d\r\n")]
    assert body == b"\r\nbody\r\n"


def test_blanks_before_a_colon_are_dropped_so_that_all_readers_see_a_header() -> None:
    fields, body = split_header(b"From \t: a@b.c\r\nX-A : b :c\r\n\r\nZ : body\r\n")

    assert [field.raw for field in fields] == [b"From: a@b.c\r\n", b"X-A: b :c\r\n"]
    assert body == b"\r\nZ : body\r\n"


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"\0", b"a", b".", b"\x0b", b"\x85"]), max_size=30))
def test_a_canonical_message_has_one_kind_of_line_end(parts: list[bytes]) -> None:
    source = b"".join(parts)
    made = canonicalise(source)

    assert made.replace(b"\r\n", b"").isascii() or b"\x85" in made
    assert made.count(b"\r\n") == made.count(b"\r") == made.count(b"\n")
    assert made.endswith(b"\r\n")
    assert canonicalise(made) == made
    assert made.translate(None, b"\r\n") == source.translate(None, b"\r\n\0")


@given(st.text(alphabet="=?utf-8qQbB_ aA\r\n*\x80é", max_size=60))
def test_any_value_can_be_shown_on_one_line(value: str) -> None:
    shown = decoded(value)

    assert shown == shown.strip()
    assert not set(shown) & set("\r\n\x80")
    if "=?" not in value:
        assert shown.split() == value.replace("\x80", " ").split()


@given(
    st.lists(
        st.sampled_from(['"', "\\", "<", ">", "(", ")", ",", ";", ":", "@", " ", "a", "a@b.c", "<a@b.c>", "x@y.z"]),
        max_size=12,
    )
)
def test_what_passes_is_what_the_standard_library_reads(parts: list[str]) -> None:
    value = "".join(parts)
    try:
        mailbox = one_mailbox(value)
    except AddressError:
        return
    try:
        read = email.policy.default.header_factory("From", value)
    except AttributeError:  # how that library fails on some malformed names
        return
    others = {address.addr_spec for address in read.addresses if address.domain} - {mailbox.email}
    assert not others
