"""Bodies as programs and no-code tools send them: the mail that was meant, or a refusal that names the field."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest

from .conftest import MAIL, Caller, refused

FORM = "application/x-www-form-urlencoded"
TWO = ["a@x.org", "b@x.org"]

#: What is written in `to`, and the envelope that it means.
ADDRESSES: list[tuple[Any, list[str]]] = [
    ("a@x.org", ["a@x.org"]),
    (" a@x.org , b@x.org ", TWO),
    ("a@x.org;b@x.org", TWO),
    ("a@x.org\nb@x.org\r\n", TWO),
    ("a@x.org,,b@x.org,", TWO),
    ('"Doe, J" <a@x.org>, B <b@x.org>', TWO),
    ("<a@x.org>", ["a@x.org"]),
    (["a@x.org", "b@x.org"], TWO),
    (["a@x.org", "", None, "b@x.org"], TWO),
    (["Doe, J <a@x.org>"], ["a@x.org"]),
    ([{"email": "a@x.org", "name": "Doe, J"}, {"email": "b@x.org"}], TWO),
    ({"email": "a@x.org", "name": ""}, ["a@x.org"]),
    ({"email": "a@x.org", "name": None}, ["a@x.org"]),
    (["a@x.org", {"email": "b@x.org"}], TWO),
    ('["a@x.org", "b@x.org"]', TWO),
    ('[{"email": "a@x.org"}, "b@x.org"]', TWO),
    ('{"email": "a@x.org"}', ["a@x.org"]),
    ("a@X.ORG, a@x.org", ["a@x.org"]),
    ("ü@bücher.example", ["ü@xn--bcher-kva.example"]),
    ("someone@anything.test", ["someone@anything.test"]),
]

#: What is written in an address field, and means none.
NO_ADDRESSES: list[Any] = [
    "nobody",
    "a@x.org, nobody",
    "a@x.org b@x.org",
    "a@localhost",
    "a@localhost.localdomain",
    "a@[192.0.2.1]",
    "a@192.0.2.1",
    "a@0x7f000001",
    "@x.org",
    ["a@x.org, b@x.org"],
    ["a@x.org, B <b@x.org>"],
    ["a@x.org\nB <b@x.org>"],
    [["a@x.org"]],
    [{"email": "a@x.org, b@x.org"}],
    [{"name": "A"}],
    [{"email": ["a@x.org", "b@x.org"]}],
    [{"email": "a@x.org", "type": "to"}],
    {"address": "a@x.org"},
    [17],
    17,
    True,
    [True],
    {"email": {"email": "a@x.org"}},
    '"A\nB" <a@x.org>',
    [{"email": "a@x.org", "name": "A\r\nBcc: b@x.org"}],
    [{"email": "a@x.org", "name": "A\u2028B"}],
    ["a@x.org\r\nBcc: b@x.org"],
    "a@x.org" * 500,
]


def test_addresses_in_json(caller: Caller, subtests: pytest.Subtests) -> None:
    for written, meant in ADDRESSES:
        with subtests.test(written=written):
            assert caller.recipients(caller.send(to=written)) == meant


def test_addresses_in_forms(caller: Caller) -> None:
    """The same as texts, which is all that a form has; and spread over several fields."""
    for written, meant in ADDRESSES:
        text = written if isinstance(written, str) else json.dumps(written)
        for content_type in (FORM, "multipart/form-data"):
            assert caller.recipients(caller.post(MAIL | {"to": text}, content_type)) == meant, text
    spread: list[list[tuple[str, str]]] = [
        [("to", "a@x.org"), ("to", "b@x.org")],
        [("to[]", "a@x.org"), ("to[]", "b@x.org")],
        [("to[0]", "a@x.org"), ("to[1]", "b@x.org")],
        [("to", "a@x.org"), ("to[]", "b@x.org")],
        [("to", ""), ("to", "a@x.org, b@x.org")],
        [("to[0][email]", "a@x.org"), ("to[0][name]", "A"), ("to[1][email]", "b@x.org")],
        [("to__0__email", "a@x.org"), ("to__0__name", "A"), ("to__1__email", "b@x.org")],
        [("to", '["a@x.org"]'), ("to", "b@x.org")],
    ]
    rest = [(name, value) for name, value in MAIL.items() if name != "to"]
    for pairs in spread:
        assert caller.recipients(caller.post(urlencode(rest + pairs), FORM)) == TWO, pairs


def test_what_is_no_address_is_refused_with_the_field(caller: Caller, subtests: pytest.Subtests) -> None:
    for written in NO_ADDRESSES:
        for name in ("to", "cc", "bcc", "reply_to"):
            with subtests.test(written=written, name=name):
                answer = caller.send(**{"to": "a@x.org", name: written})
                assert name in refused(answer, 422, "invalid_field", name)


def test_a_body_may_be_wrapped_in_an_array_of_one(caller: Caller) -> None:
    assert caller.recipients(caller.send([MAIL])) == ["ann@example.org"]
    refused(caller.send([MAIL, MAIL]), 400, "bad_request")


def test_json_with_the_names_of_forms(caller: Caller) -> None:
    assert caller.recipients(caller.send(MAIL | {"to": "", "cc[]": TWO})) == TWO
    refused(caller.send(MAIL | {"to[]": TWO}), 422, "invalid_field", "to")


def test_content_types_of_json(caller: Caller) -> None:
    text = json.dumps(MAIL | {"subject": "Grüße"}, ensure_ascii=False)
    for content_type, data in [
        ("application/json", text.encode()),
        ("application/json; charset=utf-8", b"\xef\xbb\xbf" + text.encode()),
        ('application/json; charset="ISO-8859-1"', text.encode("latin-1")),
        ("application/vnd.shop+json", text.encode()),
        (FORM, text.encode()),  # curl -d '{...}'
    ]:
        assert caller.mail(caller.post(data, content_type))["Subject"] == "Grüße", content_type


def test_empty_fields_count_as_absent(caller: Caller) -> None:
    empty = dict.fromkeys(("cc", "bcc", "reply_to", "html", "tag", "metadata", "headers", "send_at"), "")
    absent = caller.send(**empty, attachments=[], idempotency_key="", unknown="", nothing={})
    assert caller.mail(absent).get_content_type() == "text/plain"
    for content_type in (FORM, "multipart/form-data"):
        assert caller.recipients(caller.post(MAIL | empty | {"attachments": ""}, content_type)) == ["ann@example.org"]


def test_objects_in_forms(caller: Caller) -> None:
    for fields in (
        {"metadata": '{"order": "7"}', "headers": '{"X-Order": "7"}'},
        {"metadata[order]": "7", "headers[X-Order]": "7"},
        {"metadata__order": "7", "headers__X-Order": "7"},
    ):
        answer = caller.post(MAIL | fields, FORM)
        assert caller.mail(answer)["X-Order"] == "7"
    sender = {"from[email]": "shop@example.com", "from[name]": "The Shop"}
    rest = {name: value for name, value in MAIL.items() if name != "from"}
    assert caller.mail(caller.post(rest | sender, FORM))["From"] == "The Shop <shop@example.com>"


def test_a_form_field_given_in_two_ways_is_refused(caller: Caller) -> None:
    for pairs in (
        [("metadata", '{"a": "b"}'), ("metadata[a]", "c")],
        [("metadata[a]", "c"), ("metadata", '{"a": "b"}')],
        [("metadata[a]", "b"), ("metadata[a]", "c")],
        [("metadata[a]", "b"), ("metadata[0][a]", "c")],
    ):
        refused(caller.post(urlencode([*MAIL.items(), *pairs]), FORM), 422, "invalid_field", "metadata")


def test_a_form_in_another_charset(caller: Caller) -> None:
    latin = urlencode(MAIL | {"subject": "Grüße"}, encoding="latin-1")
    assert caller.mail(caller.post(latin, f"{FORM}; charset=iso-8859-1"))["Subject"] == "Grüße"
    assert "UTF-8" in refused(caller.post(latin, FORM), 400, "bad_request")
    raw = "&".join(f"{name}={value}" for name, value in (MAIL | {"subject": "Grüße"}).items())
    assert caller.mail(caller.post(raw.encode(), FORM))["Subject"] == "Grüße"


def test_bodies_that_are_no_request(caller: Caller, subtests: pytest.Subtests) -> None:
    for data in (
        b"",
        b"   ",
        b"null",
        b'"text"',
        b"17",
        b"[]",
        b"[[{}]]",
        b"{",
        b'{"from": NaN}',
        b'{"from": -Infinity}',
        b'{"from": ' + b"1" * 5000 + b"}",
        b'{"from": "\xff"}',
        b'{"from": "a\x01"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"metadata": ' + b"[" * 50 + b"]" * 50 + b"}",
    ):
        with subtests.test(data=data[:40]):
            refused(caller.post(data, "application/json"), 400, "bad_request")
    refused(caller.post(b"{}", "application/json"), 422, "invalid_field", "from")


def test_what_nothing_can_store_is_422_with_the_field(caller: Caller, subtests: pytest.Subtests) -> None:
    for text in ("a\0b", "\ud800", "ok\udfff"):
        fields: dict[str, Any] = dict.fromkeys(("from", "subject", "text", "html", "tag", "send_at"), text) | {
            "metadata": {"a": text},
            "headers": {"X-A": text},
            "to": [{"email": "a@x.org", "name": text}],
            "attachments": [{"filename": text, "content": "eA=="}],
        }
        for name, given in fields.items():
            with subtests.test(text=text, name=name):
                refused(caller.send(MAIL | {name: given}), 422, "invalid_field", name)
                if not isinstance(given, str):  # the same, hidden in a text of JSON
                    refused(caller.send(MAIL | {name: json.dumps(given)}), 422, "invalid_field", name)


def test_a_wrong_type_is_422_with_the_field(caller: Caller, subtests: pytest.Subtests) -> None:
    for name in ("subject", "text", "html", "tag", "idempotency_key"):
        for value in (17, 1.5, True, {"a": 1}, ["a", "b"]):
            with subtests.test(name=name, value=value):
                refused(caller.send(**{name: value}), 422, "invalid_field", name)


def test_a_field_given_twice_in_a_form_is_refused(caller: Caller) -> None:
    assert "more than once" in refused(
        caller.post(urlencode([*MAIL.items(), ("subject", "Other")]), FORM), 422, "invalid_field", "subject"
    )


def test_a_misspelt_field_is_refused_with_the_right_name(caller: Caller) -> None:
    near = {"subjet": "subject", "replyTo": "reply_to", "Bcc": "bcc", "attachment": "attachments"}
    for name, right in near.items():
        assert f"did you mean {right}" in refused(caller.send(MAIL | {name: "x"}), 422, "invalid_field", name)


def test_an_unknown_field_is_refused_with_the_known_ones(caller: Caller) -> None:
    assert "from, to, cc" in refused(caller.send(MAIL | {"zzz": "x"}), 422, "invalid_field", "zzz")
    refused(caller.send(MAIL | {"\ud800\n": "x"}), 422, "invalid_field", "\\ud800\\n")


def test_other_types_are_415(caller: Caller) -> None:
    for content_type in (None, "text/plain", "application/xml", "text/json; charset=utf-8", "nonsense"):
        refused(caller.post(json.dumps(MAIL).encode(), content_type), 415, "unsupported_type")


def test_careless_and_hostile_escapes_in_a_form(caller: Caller) -> None:
    careless = "&".join(f"{name}={value}" for name, value in (MAIL | {"subject": "100% wool, 50%+off"}).items())
    assert caller.mail(caller.post(careless, FORM))["Subject"] == "100% wool, 50% off"
    hostile = "%" * 5_000_000
    assert f"no field {hostile[:39]}" in refused(
        caller.post(hostile + "=1", FORM), 422, "invalid_field", "%" * 39 + "…"
    )


def test_packed_bodies_and_strange_charsets_are_415(caller: Caller) -> None:
    data = json.dumps(MAIL).encode()
    for headers in ({"Content-Encoding": "gzip"}, {"Content-Encoding": "br"}):
        refused(caller.post(data, "application/json", headers=headers), 415, "unsupported_type")
    for charset in ("utf-7", "rot13", "idna", "unicode_escape", "nonsense"):
        refused(caller.post(data, f"application/json; charset={charset}"), 415, "unsupported_type")


def test_broken_multipart_is_400(caller: Caller) -> None:
    whole = b'--b\r\nContent-Disposition: form-data; name="from"\r\n\r\na@example.com\r\n--b--\r\n'
    for data, boundary in [
        (whole, "c"),
        (whole, ""),
        (whole[:-8], "b"),
        (whole.replace(b"a@", b"\xff@"), "b"),
        (whole.replace(b"Content-Disposition", b"X"), "b"),
        (whole.replace(b"; name", b"; n"), "b"),
        (whole.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n"), "b"),
        (b"--b\r\n" * 10, "b"),
        (b'--b\r\nContent-Disposition: form-data; name="to"\r\n\r\n\r\n' * 10_001 + b"--b--\r\n", "b"),
    ]:
        refused(caller.post(data, f"multipart/form-data; boundary={boundary}"), 400, "bad_request")


def test_a_thousand_recipients_fit_in_any_body(caller: Caller) -> None:
    many = [f"r{number}@x.org" for number in range(1000)]
    rest = [(name, value) for name, value in MAIL.items() if name != "to"]
    pairs = [*rest, *(("to", one) for one in many)]
    form = {**dict(rest), "to": many}
    for answer in (
        caller.send(to=many),
        caller.send(to=", ".join(many)),
        caller.post(urlencode(pairs), FORM),
        caller.post(form | {"file": (BytesIO(b"x"), "x.txt")}, "multipart/form-data"),
    ):
        assert answer.json["to_count"] == 1000
        assert caller.recipients(answer) == many
    one_more = [*many, "last@x.org"]
    assert "1000" in refused(caller.send(to=one_more), 422, "too_many_recipients", "to")
    refused(caller.send(to=many, bcc="last@x.org"), 422, "too_many_recipients", "to")
