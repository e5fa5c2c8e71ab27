"""Lists of addresses and ranges, as admins type and paste them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.core.rules.networks import NetworkError, allowed, is_everything, lock_subject, normalise_ip, parse_networks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("10.0.0.1", ["10.0.0.1/32"]),
        (
            "10.0.0.1, 10.0.0.2;2001:db8::1\n\n 192.0.2.0/24 # office",
            ["10.0.0.1/32", "10.0.0.2/32", "2001:db8::1/128", "192.0.2.0/24"],
        ),
        ("10.0.0.5/24\n10.0.0.9/24", ["10.0.0.0/24"]),
        ("::ffff:192.0.2.1", ["192.0.2.1/32"]),
        ("::ffff:192.0.2.0/120", ["192.0.2.0/24"]),
        ("10.0.0.0 - 10.0.0.3", ["10.0.0.0/30"]),
        ("10.0.0.0 – 10.0.0.3", ["10.0.0.0/30"]),
        ("10.0.0.0/255.255.255.0", ["10.0.0.0/24"]),
        ("2001:db8::-2001:db8::ffff", ["2001:db8::/112"]),
        ("# nobody\n\n10.0.0.1;# me", ["10.0.0.1/32"]),
        ("0.0.0.0/0", ["0.0.0.0/0"]),
    ],
)
def test_what_is_read(text: str, expected: list[str]) -> None:
    assert [str(network) for network in parse_networks(text)] == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("10.0.0.1\nmy office", 2),
        ("10.0.0.256", 1),
        ("10.0.0.0/33", 1),
        ("10.0.0.9-10.0.0.1", 1),
        ("10.0.0.1-::1", 1),
        ("1/2/3", 1),
        ("010.0.0.1", 1),
        ("10.0.0.*", 1),
        ("10.0.0.1\n" + "x" * 500, 2),
        ("\ud800", 1),
        ("10.0.0.1\r\n\r\nfoo.example", 3),
    ],
)
def test_nonsense_is_named_by_its_line(text: str, line: int) -> None:
    with pytest.raises(NetworkError) as caught:
        parse_networks(text)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"Line {line}: ")
    assert len(str(caught.value).encode()) < 120


def test_too_long_a_list_is_refused() -> None:
    with pytest.raises(NetworkError, match="at most 500"):
        parse_networks("\n".join(f"10.0.{n // 250}.{n % 250}" for n in range(501)))


def test_who_is_allowed() -> None:
    assert allowed("192.0.2.1", [])
    assert allowed("::ffff:192.0.2.1", ["192.0.2.0/24"])
    assert allowed("2001:db8::5", ["10.0.0.0/8", "2001:db8::/64"])
    assert not allowed("198.51.100.1", ["192.0.2.0/24"])
    assert not allowed("nonsense", ["0.0.0.0/0"])


def test_an_address_is_read_in_its_one_form() -> None:
    assert [str(normalise_ip(text)) for text in ("::ffff:192.0.2.1", " 192.0.2.1 ", "FE80::1%eth0")] == [
        "192.0.2.1",
        "192.0.2.1",
        "fe80::1",
    ]
    for text in ("", "localhost", "1.2.3", "01.2.3.4", "1.2.3.4/32"):
        with pytest.raises(ValueError, match="does not appear"):
            normalise_ip(text)


def test_a_list_that_locks_nobody_out() -> None:
    assert [is_everything(network) for network in parse_networks("0.0.0.0-255.255.255.255 ::/0 10.0.0.0/8")] == [
        True,
        True,
        False,
    ]


def test_a_lock_holds_an_ipv6_network() -> None:
    assert lock_subject("2001:db8:1:2::77") == lock_subject("2001:db8:1:2:ffff::") == "2001:db8:1:2::/64"
    assert lock_subject("::ffff:192.0.2.1") == "192.0.2.1"


@given(st.text(max_size=60))
def test_anything_is_read_or_refused(text: str) -> None:
    try:
        networks = parse_networks(text)
    except NetworkError:
        return
    assert parse_networks("\n".join(map(str, networks))) == networks
