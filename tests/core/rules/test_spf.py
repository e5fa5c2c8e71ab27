"""SPF records as people write them, and what is said of them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from webapp.core.rules import spf
from webapp.core.rules.domain_records import Found, judge_spf

SERVER, ADDRESSES = "mail.example.net", [ip_address("192.0.2.25"), ip_address("2001:db8::25")]
DNS = {
    ("mail.example.net", "A"): ["192.0.2.25"],
    ("mail.example.net", "AAAA"): ["2001:db8::25"],
    ("example.org", "MX"): ["mail.example.net"],
    ("_spf.host.test", "TXT"): ["v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"],
    ("outer.test", "TXT"): ["v=spf1 include:_spf.host.test ?all", "something else"],
    ("two.test", "TXT"): ["v=spf1 -all", "v=spf1 ~all"],
    ("loop.test", "TXT"): ["v=spf1 include:loop.test include:loop2.test -all"],
    ("loop2.test", "TXT"): ["v=spf1 include:loop.test -all"],
    ("many.test", "TXT"): ["v=spf1 a:a.test a:b.test a:c.test a:d.test a:e.test -all"],
}


def lookup(name: str, type_: str) -> list[str]:
    return DNS.get((name, type_), [])


def judge(*texts: str, server: str | None = SERVER) -> Found:
    return judge_spf("example.org", texts, server=server, addresses=ADDRESSES, lookup=lookup)


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 a:mail.example.net ~all",
        "V=SPF1 A:Mail.Example.Net. -ALL",
        "v=spf1 mx -all",
        "v=spf1 ip4:192.0.2.25 ip6:2001:db8::/64 -all",
        "v=spf1 include:_spf.host.test -all",
        "v=spf1 redirect=outer.test",
        "v=spf1 a:mail.example.net/24//64 exists:%{i}._spf.example.org exp=why.example.org -all",
    ],
)
def test_records_that_let_this_server_send(record: str) -> None:
    assert judge(record, "unrelated=1") == Found("ok", (record,), value=record)


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ("v=spf1 -all", "This server is not in it: a:mail.example.net is missing."),
        ("v=spf1 -ip4:192.0.2.25 -all", "This server is not in it"),
        ("v=spf1 ip4:192.0.2.25 -all", "This server is not in it"),  # it has an IPv6 address, too
        ("v=spf1 a:mail.example.net +all", "every server in the world"),
        ("v=spf1 a:mail.example.net include:gone.test -all", "gone.test, which has no SPF record"),
        ("v=spf1 a:mail.example.net include:two.test -all", "two.test, which has more than one SPF record"),
        ("v=spf1 a:mail.example.net ip4:192.0.2.999 -all", "no address or range"),
        ("v=spf1 a:mail.example.net incude:x.test -all", "no receiver understands: incude:x.test"),
        ("v=spf1 a:mail.example.net include:many.test include:many.test include:many.test -all", "look-ups"),
    ],
)
def test_what_is_wrong_is_said(record: str, problem: str) -> None:
    found = judge(record)
    assert found.state == "differs"
    assert problem in " ".join(found.problems)


def test_circles_end() -> None:
    assert judge("v=spf1 a:mail.example.net include:loop.test -all").state == "ok"


def test_two_records_are_an_error_and_none_is_missing() -> None:
    assert "more than one SPF record" in judge("v=spf1 -all", "v=spf1 a ~all").problems[0]
    assert judge("v=spf2.0/pra -all") == Found("missing", value="v=spf1 a:mail.example.net ~all")


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ("v=spf1 include:x.test -all", "v=spf1 include:x.test a:mail.example.net -all"),
        ("v=spf1 include:x.test redirect=y.test", "v=spf1 include:x.test a:mail.example.net redirect=y.test"),
        ("v=spf1", "v=spf1 a:mail.example.net"),
    ],
)
def test_what_is_missing_goes_into_the_record_that_is_there(record: str, wanted: str) -> None:
    assert spf.with_mechanism(record, "a:mail.example.net") == wanted


def test_behind_a_relay_any_sound_record_will_do() -> None:
    assert judge("v=spf1 ip4:203.0.113.1 -all", server=None).state == "ok"
    assert judge(server=None) == Found("missing")
