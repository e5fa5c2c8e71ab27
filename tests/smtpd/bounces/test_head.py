"""What is kept of a message that may be large."""

from __future__ import annotations

import pytest

from smtpd.bounces.head import Head


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_small_message_is_kept_whole_and_of_a_large_one_the_beginning(block: int) -> None:
    for lines in (3, 200):
        message = b"..dot\r\n" + b"line\r\n" * lines
        wire, head, rest = message + b".\r\nQUIT", Head(100), None
        for start in range(0, len(wire), block):
            rest = head.feed(wire[start : start + block]) if rest is None else rest + wire[start : start + block]
        assert rest == b"QUIT"
        kept, whole = head.source(), message[1:]
        assert whole.startswith(kept)
        assert len(kept) >= min(100, len(whole))
