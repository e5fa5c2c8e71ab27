"""What is asked of blocklists, and what their answers mean (RFC 5782)."""

from __future__ import annotations

import pytest

from webapp.core.rules.blocklists import (
    ALWAYS_LISTED,
    ALWAYS_LISTED_V6,
    NEVER_LISTED,
    NEVER_LISTED_V6,
    REASON_LENGTH,
    Health,
    Outcome,
    Zone,
    clean_reason,
    ignored_by_default,
    parse_answers,
    query_name,
    self_test,
    site_of,
    zone_label,
    zone_name,
)
from webapp.core.rules.networks import NetworkError


@pytest.mark.parametrize(
    ("ip", "name"),
    [
        ("192.0.2.99", "99.2.0.192.bl.test"),
        ("2001:db8:1:2:3:4:567:89ab", "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.test"),
    ],
)
def test_the_name_asked_for(ip: str, name: str) -> None:
    assert query_name(ip, "bl.test") == name


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([], Outcome.NOT_LISTED),
        (["127.0.0.2"], Outcome.LISTED),
        (["127.1.2.3"], Outcome.LISTED),
        (["127.0.0.10"], Outcome.IGNORED),
        (["127.0.0.10", "127.0.0.4"], Outcome.LISTED),
        (["127.255.255.254"], Outcome.REFUSED),
        (["127.255.255.1", "127.0.0.4"], Outcome.LISTED),
        (["127.255.254.254"], Outcome.LISTED),
        (["203.0.113.9"], Outcome.OUTSIDE),
        (["126.255.255.255", "128.0.0.1"], Outcome.OUTSIDE),
    ],
)
def test_what_answers_mean(answers: list[str], outcome: Outcome) -> None:
    zone = Zone(1, "zen.spamhaus.org", "on", ignored=parse_answers("127.0.0.10, 127.0.0.11"))
    assert zone.outcome(answers) is outcome


def test_only_some_answers_may_count() -> None:
    zone = Zone(1, "bl.test", "on", counted=parse_answers("127.0.0.4-127.0.0.7"), ignored=parse_answers("127.0.0.5"))
    outcomes = {answer: zone.outcome([answer]) for answer in ("127.0.0.2", "127.0.0.4", "127.0.0.5", "127.0.0.7")}
    assert [answer for answer, outcome in outcomes.items() if outcome is Outcome.LISTED] == ["127.0.0.4", "127.0.0.7"]
    refusal = Zone(1, "bl.test", "on", counted=parse_answers("127.255.255.0/24"))
    assert refusal.outcome(["127.255.255.254"]) is Outcome.REFUSED


@pytest.mark.parametrize("text", ["10.0.0.1", "::1", "0.0.0.0/0", "127.0.0.0/7", "nonsense"])
def test_no_other_answers_can_be_chosen(text: str) -> None:
    with pytest.raises(NetworkError):
        parse_answers(text)


@pytest.mark.parametrize(
    ("zone", "ignored"),
    [
        ("zen.spamhaus.org", True),
        ("abcdefghijklmnopqrstuvwxyz.zen.dq.spamhaus.net", True),
        ("xbl.spamhaus.org", False),
        ("zen.spamhaus.org.example.net", False),
    ],
)
def test_home_lines_do_not_count_in_zen(zone: str, ignored: bool) -> None:
    assert ignored_by_default(zone) == (("127.0.0.10", "127.0.0.11") if ignored else ())


def test_the_names_of_zones() -> None:
    assert zone_name(" XBL.Spamhaus.org. ") == "xbl.spamhaus.org"
    for wrong in ("", "localhost", "a b.test", "-.test", "x@y.test", "http://bl.test", f"{'a.' * 100}test", "bl..test"):
        with pytest.raises(ValueError, match="must be"):
            zone_name(wrong)


def test_a_paying_users_key_is_not_shown() -> None:
    assert zone_label("abcdefghijklmnopqrstuvwxyz.zen.dq.spamhaus.net") == "zen.dq.spamhaus.net"
    assert zone_label("xbl.spamhaus.org") == "xbl.spamhaus.org"
    assert site_of("abcdefghijklmnopqrstuvwxyz.zen.dq.spamhaus.net") == "https://check.spamhaus.org/"
    assert site_of("bl.test") is None


def test_a_zones_words_are_made_harmless() -> None:
    assert clean_reason("  see\r\n554 5.7.1\thttps://bl.test/?ip=1 [ref ABCDEFGHJK] ") == (
        "see 554 5.7.1 https://bl.test/?ip=1 (ref ABCDEFGHJK)"
    )
    assert clean_reason("a\x00\x1b[31mb") == "a\\x00\\x1b(31mb"
    assert len(clean_reason("é" * 1000)) == REASON_LENGTH


GOOD = {
    NEVER_LISTED: Outcome.NOT_LISTED,
    ALWAYS_LISTED: Outcome.LISTED,
    NEVER_LISTED_V6: Outcome.NOT_LISTED,
    ALWAYS_LISTED_V6: Outcome.NOT_LISTED,
}


@pytest.mark.parametrize(
    ("changed", "health"),
    [
        ({}, Health.GOOD),
        ({ALWAYS_LISTED_V6: Outcome.LISTED}, Health.GOOD),
        ({ALWAYS_LISTED: Outcome.NOT_LISTED, ALWAYS_LISTED_V6: Outcome.LISTED}, Health.GOOD),
        ({ALWAYS_LISTED_V6: Outcome.SILENT}, Health.GOOD),
        ({ALWAYS_LISTED: Outcome.NOT_LISTED}, Health.WRONG),
        ({ALWAYS_LISTED: Outcome.OUTSIDE, NEVER_LISTED: Outcome.OUTSIDE}, Health.WRONG),
        ({NEVER_LISTED: Outcome.LISTED}, Health.WRONG),
        ({NEVER_LISTED_V6: Outcome.LISTED}, Health.WRONG),
        ({NEVER_LISTED: Outcome.LISTED, ALWAYS_LISTED: Outcome.SILENT}, Health.WRONG),
        ({ALWAYS_LISTED: Outcome.SILENT, NEVER_LISTED: Outcome.SILENT}, Health.SILENT),
        ({ALWAYS_LISTED: Outcome.FAILED, NEVER_LISTED: Outcome.FAILED}, Health.FAILED),
        ({ALWAYS_LISTED: Outcome.REFUSED, NEVER_LISTED: Outcome.REFUSED}, Health.REFUSED),
        ({ALWAYS_LISTED: Outcome.REFUSED}, Health.REFUSED),
        ({NEVER_LISTED: Outcome.SILENT}, Health.SILENT),
    ],
)
def test_self_tests(changed: dict[str, Outcome], health: Health) -> None:
    assert self_test(GOOD | changed) is health
