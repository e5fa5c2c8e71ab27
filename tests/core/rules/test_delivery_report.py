"""Reports as servers of several makers write them, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.core.rules.delivery_report import Report, read_report
from webapp.core.rules.failure_notice import typed_address

GMAIL = """\
From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>
MIME-Version: 1.0
Content-Type: multipart/report; boundary="000000000000"; report-type=delivery-status

--000000000000
Content-Type: multipart/related; boundary="11"

--11
Content-Type: text/plain

Address not found
--11--
--000000000000
Content-Type: message/delivery-status

Reporting-MTA: dns; googlemail.com
Received-From-MTA: dns; shop@example.com
Arrival-Date: Wed, 25 Nov 2026 04:00:00 -0800 (PST)
X-Original-Message-ID: <1@example.com>

Final-Recipient: rfc822; ann@example.org
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try
 550-5.1.1 double-checking the recipient's email address. 550 5.1.1 https://support.google.com/mail/ gsmtp
Last-Attempt-Date: Wed, 25 Nov 2026 04:00:00 -0800 (PST)

--000000000000
Content-Type: message/rfc822

Subject: Your order

Hello
--000000000000--
"""
EXCHANGE = """\
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="x"

--x
Content-Type: text/html; charset=utf-8

<p>It couldn't be delivered.</p>
--x
Content-Type: message/delivery-status

Reporting-MTA: dns;AM0P193MB0001.EURP193.PROD.OUTLOOK.COM
Received-From-MTA: dns;mail.postlatch.test

Final-Recipient: rfc822;ann@example.org
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup

--x--
"""


def read(text: str | bytes) -> Report | None:
    return read_report(text.replace("\n", "\r\n").encode() if isinstance(text, str) else text)


def blocks(*fields: str, kind: str = "message/delivery-status") -> bytes:
    text = "\n\n".join(["Reporting-MTA: dns; mx.example.org", *fields])
    head = 'Content-Type: multipart/report; boundary="x"\n\n--x\nContent-Type: text/plain\n\nhi\n--x\n'
    return f"{head}Content-Type: {kind}\n\n{text}\n\n--x--\n".replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    ("text", "reporter", "reason"),
    [
        (GMAIL, "googlemail.com", "5.1.1 The email account that you tried to reach does not exist."),
        (EXCHANGE, "AM0P193MB0001.EURP193.PROD.OUTLOOK.COM", "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient"),
    ],
)
def test_what_large_servers_write(text: str, reporter: str, reason: str) -> None:
    report = read(text)
    assert report
    assert report.reporter == reporter
    verdict = report.on("Ann@example.org", alone=False)
    assert verdict
    assert verdict.failed
    assert verdict.code == 550
    assert verdict.reason.startswith(reason)


def test_a_code_is_an_smtp_server_s_only() -> None:
    report = read(
        blocks("Final-Recipient: rfc822; a@b.org\nAction: FAILED\nStatus: 4.4.7\nDiagnostic-Code: x-local; 550 expired")
    )
    assert report
    assert (report.verdicts[0].code, report.verdicts[0].reason) == (None, "4.4.7 550 expired")


@pytest.mark.parametrize("kind", ["message/delivery-status", "message/global-delivery-status"])
def test_addresses_outside_ascii(kind: str) -> None:
    for typed in (typed_address("jürgen@example.org"), "utf-8; jürgen@example.org"):
        report = read(blocks(f"Final-Recipient: {typed}\nAction: failed\nStatus: 5.1.1", kind=kind))
        assert report
        assert report.on("jürgen@example.org", alone=False)


def test_somebody_unnamed_fails_only_with_all_the_others() -> None:
    failed, delivered = (
        f"Final-Recipient: rfc822; {name}@elsewhere.org\nAction: {action}\nStatus: 5.0.0"
        for name, action in (("x", "failed"), ("y", "delivered"))
    )
    both, one = read(blocks(failed, delivered)), read(blocks(failed))
    assert both
    assert both.on("ann@example.org", alone=True) is None
    assert one
    assert one.on("ann@example.org", alone=True) == one.verdicts[0]
    assert one.on("ann@example.org", alone=False) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Subject: On holiday\n\nBack on Monday.\n",
        GMAIL.replace("multipart/report", "multipart/mixed", 1),
        GMAIL.replace("message/delivery-status", "text/plain"),
        GMAIL.replace("Action:", "Akzion:"),
        GMAIL.replace("Final-Recipient:", "Final:"),
        'Content-Type: multipart/mixed; boundary="y"\n\n--y\n' + GMAIL,
    ],
)
def test_what_is_no_report(text: str) -> None:
    assert read(text) is None


def test_what_is_cut_off_behind_the_report_is_still_one() -> None:
    cut = read(GMAIL[: GMAIL.index("Subject: Your order")])
    assert cut
    assert cut.verdicts


def test_parts_within_parts_without_end_are_no_report() -> None:
    nested = "".join(f'Content-Type: multipart/report; boundary="b{n}"\n\n--b{n}\n' for n in range(3000))
    assert read(nested) is None


@given(st.lists(st.sampled_from([*GMAIL.splitlines(keepends=True), "\0\n", "\udcff\n", "--\n", "\x85 \u2028\n"])))
def test_pieces_in_any_order_are_survived(lines: list[str]) -> None:
    read_report("".join(lines).encode("utf-8", "surrogateescape"))
