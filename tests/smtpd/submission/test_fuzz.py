"""Whatever a client says, the answer is a proper one, and never an unexpected exception."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.smtpd.submission.memory_gateway import PASSWORD, USER, MemoryGateway
from tests.smtpd.submission.wire import RunningServer, encoded, plain
from webapp.core.rules.refusals import Reason

VERBS = st.sampled_from(
    [
        "EHLO",
        "HELO",
        "AUTH",
        "MAIL",
        "RCPT",
        "DATA",
        "RSET",
        "NOOP",
        "VRFY",
        "EXPN",
        "HELP",
        "STARTTLS",
        "BDAT",
        "XCLIENT",
        "mail",
        "rcpt",
        "data",
    ]
)
WORDS = st.sampled_from(
    [
        "FROM:<printer@example.test>",
        "FROM:<>",
        "TO:<a@r.test>",
        'TO:<"a\\"b"@r.test>',
        "TO:<",
        "FROM:",
        "SIZE=1",
        "SIZE=",
        "BODY=8BITMIME",
        "SMTPUTF8",
        "AUTH=<>",
        "PLAIN",
        "LOGIN",
        "=",
        "*",
        plain(USER, PASSWORD),
        encoded(USER),
        "ü",
        "\x00",
        "\r",
        "x" * 600,
        ".",
    ]
)
LINES = st.one_of(
    st.tuples(VERBS, st.lists(WORDS, max_size=4)).map(lambda t: " ".join([t[0], *t[1]]).encode()),
    st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")),
)
ANSWERS = re.compile(rb"(?:[245]\d\d[- ][^\r\n]*\r\n|3[35]4 [^\r\n]*\r\n|220 [^\r\n]*\r\n)*\Z")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES, min_size=1, max_size=12), tls=st.booleans(), together=st.booleans())
def test_any_lines_get_proper_answers(
    server: RunningServer, gateway: MemoryGateway, lines: list[bytes], tls: bool, together: bool
) -> None:
    with server.greeted(tls=tls) as wire:
        said = b""
        try:
            for part in [b"\r\n".join(lines)] if together else lines:
                wire.send(part + b"\r\n")
            wire.send(b"\r\n.\r\nQUIT\r\nQUIT\r\n")
            while more := wire.socket.recv(65536):
                said += more
        except OSError:
            pass  # it had ended before everything was sent, or TLS began
    if b"220 2.0.0" not in said:
        assert ANSWERS.match(said), said
    assert not [refused for refused, _, _ in gateway.refusals if refused.reason is Reason.INTERNAL]
