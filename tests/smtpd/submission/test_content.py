"""The end of a message, and what is no end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.submission.content import Content
from tests.smtpd.submission.memory_gateway import MemoryGateway
from tests.smtpd.submission.wire import Wire

#: What smuggling is made of.
PIECES = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"x", b"\0", b"\r\n."]), max_size=40).map(
    b"".join
)


def stuffed(message: bytes) -> bytes:
    """*message*, ending in CRLF or empty, as a client sends it (RFC 5321 section 4.5.2)."""
    wire = b"\r\n" + message
    return wire.replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


@given(message=PIECES.map(lambda m: m + b"\r\n"), rest=PIECES, cuts=st.lists(st.integers(0, 200), max_size=6))
def test_any_message_survives_any_blocks(message: bytes, rest: bytes, cuts: list[int]) -> None:
    wire = stuffed(message) + rest
    edges = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    content = Content(10_000)
    left: bytes | None = None
    fed = 0
    for start, end in pairwise(edges):
        left = content.feed(wire[start:end])
        fed = end
        if left is not None:
            break
    assert left is not None
    assert left + wire[fed:] == rest
    assert content.source() == message


def test_an_empty_message() -> None:
    content = Content(10)
    assert content.feed(b".\r\nQUIT\r\n") == b"QUIT\r\n"
    assert content.source() == b""


def test_doubled_dots_do_not_count_for_the_size() -> None:
    content = Content(30)
    assert content.feed(b"..\r\n" * 10 + b".\r\n") == b""
    assert content.source() == b".\r\n" * 10
    content = Content(29)
    assert content.feed(b"..\r\n" * 10 + b".\r\n") == b""
    assert content.source() is None


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_is_too_large_is_not_kept_but_its_end_is_found(size: int) -> None:
    content = Content(1000)
    wire = b"x" * 5000 + b"\r\n.\r\nNOOP\r\n"
    rest = None
    for start in range(0, len(wire), size):
        rest = content.feed(wire[start : start + size])
        assert content.received <= 5004
        assert len(content._data) < 3000
        if rest is not None:
            break
    assert rest is not None
    assert b"NOOP\r\n".startswith(rest)
    assert content.source() is None


def test_a_message_dropped_before_it_began_still_ends() -> None:
    content = Content(10)
    content.drop()
    assert content.feed(b".\r\n") == b""
    assert content.source() is None


@pytest.mark.parametrize(
    "ending",
    [
        b"\n.\n",
        b"\r.\r",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r\n.\0\r\n",
        b"\n\n.\n\n",
        b"\r\r\n.\r\r\n",
        b"\r\n\0.\r\n",
        b"\r\n. \r\n",
        b"\0\r\n.\r\0\n",
    ],
)
def test_smuggling_endings_end_nothing(wire: Wire, gateway: MemoryGateway, ending: bytes) -> None:
    hidden = b"MAIL FROM:<printer@example.test>\r\nRCPT TO:<victim@r.test>\r\nDATA\r\nevil\r\n"
    wire.begin()
    wire.send(b"Subject: one\r\n\r\nbody" + ending + hidden + b".\r\n")
    assert wire.reply() == "250 2.0.0 Accepted as m1"
    assert wire.command("NOOP").startswith("250")
    assert len(gateway.submissions) == 1
    assert gateway.submissions[0].source.endswith(b"evil\r\n")
    assert b"victim@r.test" in gateway.submissions[0].source


def test_an_ending_may_come_octet_by_octet(wire: Wire, gateway: MemoryGateway) -> None:
    wire.begin()
    for octet in b"a\r\n..b\r\n.\r\n":
        wire.send(bytes([octet]))
    assert wire.reply().startswith("250")
    assert gateway.submissions[0].source == b"a\r\n.b\r\n"
