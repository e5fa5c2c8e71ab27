"""What a message says of itself, by whatever door: send time, metadata, tag, idempotency key."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.core.rules.controls import check_idempotency_key, check_tag, parse_metadata, parse_send_at
from webapp.core.rules.refusals import Reason, Refused

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
TOMORROW = NOW + timedelta(days=1)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    "value",
    [
        "2026-05-02T12:00:00Z",
        "2026-05-02T12:00:00z",
        " 2026-05-02 14:00:00+02:00 ",
        "20260502T120000Z",
        "2026-05-02T12:00+00:00",
        int(TOMORROW.timestamp()),
        float(TOMORROW.timestamp()),
        str(int(TOMORROW.timestamp())),
    ],
)
def test_times_to_come(value: str | float) -> None:
    assert parse_send_at(value, NOW) == TOMORROW


@pytest.mark.parametrize("value", ["2026-05-01T12:00:00Z", "1999-12-31T00:00:00Z", 0, -5, "0", "-5", 1777636800.0])
def test_past_is_now(value: str | float) -> None:
    assert parse_send_at(value, NOW) is None


def test_thirty_days_ahead_and_no_further() -> None:
    assert parse_send_at("2026-05-31T12:00:00Z", NOW) == NOW + timedelta(days=30)
    with pytest.raises(Refused, match="30 days"):
        parse_send_at("2026-05-31T12:00:01Z", NOW)


def test_a_time_without_offset_is_refused_with_what_to_do() -> None:
    with pytest.raises(Refused, match="needs its offset"):
        parse_send_at("2026-05-02T12:00:00", NOW)


@pytest.mark.parametrize(
    "value",
    [
        True, None, [], {}, float("nan"), float("inf"), 1e300, 10**400, "", "tomorrow", "1e9", "１７７７６８００００",
        "2026-05-02T12:00:00+25:00", "2026-13-01T00:00:00Z", "Sat, 02 May 2026 00:00:00 +0000", "2026-05-02T12:00Z\0",
        "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", 1777680000000,
    ],
)  # fmt: skip
def test_what_is_no_time(value: object) -> None:
    with pytest.raises(Refused) as caught:
        parse_send_at(value, NOW)
    assert caught.value.reason is Reason.INVALID_FIELD
    assert caught.value.field == "send_at"
    assert "…" not in caught.value.sentence


def test_metadata_becomes_texts() -> None:
    expected = {"a": "1", "b": "true", "c": "1.5", "d": "", "e": "x\ny", "ü": "😀"}

    assert parse_metadata({"a": 1, "b": True, "c": 1.5, "d": None, "e": "x\ny", "ü": "😀"}) == expected
    assert parse_metadata('{"a":1,"b":true,"c":1.5,"d":null,"e":"x\\ny","ü":"😀"}') == expected
    assert parse_metadata({}) == {}


@pytest.mark.parametrize(
    "value",
    [
        None, 5, "x", "[]", "[" * 100_000, [1], {"a": [1]}, {"a": {}}, {"": "x"}, {"a\n": "x"}, {"a" * 101: "x"},
        {"a": "x" * 1001}, {"a": 10**1001}, {"a": 10**5000}, {"a": "x\0"}, {"a": "\ud800"}, '{"a":"\\ud800"}',
        {f"k{n}": "x" for n in range(51)}, '{"a":' + "9" * 5000 + "}",
    ],
)  # fmt: skip
def test_what_is_no_metadata(value: object) -> None:
    with pytest.raises(Refused) as caught:
        parse_metadata(value)
    assert (caught.value.reason, caught.value.field) == (Reason.INVALID_FIELD, "metadata")


def test_metadata_at_its_limits() -> None:
    largest = {f"{n:02}" + "k" * 98: "v" * 1000 for n in range(50)}
    assert parse_metadata(json.dumps(largest)) == largest


@pytest.mark.parametrize("value", ["", "x" * 101, "a\nb", "a\u2028b", "\ud800", "a\0b"])
def test_what_is_no_tag(value: str) -> None:
    with pytest.raises(Refused):
        check_tag(value)


@pytest.mark.parametrize("value", ["", "x" * 257, "a\nb", "a\x7f"])
def test_what_is_no_idempotency_key(value: str) -> None:
    with pytest.raises(Refused) as caught:
        check_idempotency_key(value)
    assert caught.value.field == "idempotency_key"


def test_tags_and_keys_that_pass() -> None:
    assert check_tag("Grüße " + "x" * 94)
    assert check_idempotency_key("x" * 256)


@given(JSON_VALUES)
def test_any_value_is_taken_or_refused(value: object) -> None:
    for read in (lambda: parse_send_at(value, NOW), lambda: parse_metadata(value)):
        try:
            found = read()
        except Refused:
            continue
        assert found is None or isinstance(found, datetime) or all(isinstance(v, str) for v in found.values())


@given(st.text(alphabet="0123456789-+:.TZ W", max_size=30))
def test_any_time_is_in_the_next_thirty_days_or_refused(text: str) -> None:
    try:
        when = parse_send_at(text, NOW)
    except Refused:
        return
    assert when is None or NOW < when <= NOW + timedelta(days=30)
