"""Whatever a stranger with a key sends, the answer is a receipt or a refusal in the one shape, never a failure."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from .conftest import MAIL, Caller

FIELDS = (
    *("from", "to", "cc", "bcc", "reply_to", "subject", "text", "html", "attachments", "headers", "tag"),
    *("metadata", "send_at", "idempotency_key", "to[]", "unknown", "", "\0", "\ud83d"),
)
TYPES = (
    *("application/json", "application/json; charset=utf-16", "application/vnd.x+json", "text/plain", ""),
    *(
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "multipart/form-data",
        "a/b;charset",
    ),
)
PIECES = (
    *(
        "ann@example.org",
        '"Doe, J" <j@x.org>',
        ",",
        ";",
        "\r\n",
        "\n",
        "<",
        ">",
        '"',
        "\\",
        "@",
        "[",
        "{",
        "]",
        "}",
    ),
    *(
        "\0",
        "\x85",
        "\u2028",
        "\ud800",
        "\ufeff",
        "é",
        "😀",
        "=?utf-8?q?=0A?=",
        "Bcc: x@y.org",
        "http://x.org/",
    ),
    *(
        "1e999",
        "NaN",
        "2026-01-31T09:00:00Z",
        "9" * 30,
        "null",
        "true",
        "bcc:",
        " ",
        "a" * 300,
        "..",
        "%00",
        "xn--",
    ),
)
KEYS = ("email", "name", "content", "filename", "content_type", "url", "X-Note", "Bcc", "order", "", "é")

texts = st.text(max_size=30) | st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | texts, inner, max_size=3),
    max_leaves=8,
)
#: What may stand in a header, mostly: else hardly a message would be taken.
lines = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=120) | texts
usually = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def judged(answer: TestResponse) -> None:
    assert answer.status_code in {202, 400, 409, 413, 415, 422}, answer.get_data(as_text=True)
    assert answer.mimetype == "application/json"
    said: dict[str, Any] = json.loads(answer.data.decode())
    if answer.status_code == 202:
        assert set(said) == {"id", "status", "domain", "from_email", "to", "to_count", "created_at"}
    else:
        assert len(said["error"]["message"]) <= 250
        assert said["error"]["message"].endswith(f" [ref {answer.headers['X-Request-Id']}]")
        assert said["error"]["message"].isprintable()


@usually
@given(changes=st.dictionaries(st.sampled_from(FIELDS), values, min_size=1, max_size=3))
@example(changes={"from": {"email": "a@example.com", "name": "\ud800"}})
@example(changes={"headers": {"X-Note": "\ud800"}, "send_at": 1e400})
@example(changes={"metadata": {"a": float("nan")}})
def test_any_json_value_in_any_field(caller: Caller, changes: dict[str, Any]) -> None:
    judged(caller.post(json.dumps(MAIL | changes), "application/json"))


@usually
@given(changes=st.dictionaries(st.sampled_from(FIELDS), texts | st.lists(texts, max_size=3), min_size=1, max_size=3))
def test_any_text_in_any_field_of_a_form(caller: Caller, changes: dict[str, Any]) -> None:
    form = urlencode(MAIL | changes, doseq=True, errors="surrogatepass")
    judged(caller.post(form, "application/x-www-form-urlencoded"))


@usually
@given(data=st.binary(max_size=300), content_type=st.sampled_from(TYPES), letter=st.booleans())
def test_any_octets_of_any_type(caller: Caller, data: bytes, content_type: str, letter: bool) -> None:
    around = b"--b\r\nContent-Disposition: form-data; name=from\r\n\r\n%s\r\n--b--\r\n" if letter else b"%s"
    judged(caller.post(around % data, content_type))


@usually
@given(
    name=lines,
    subject=lines,
    body=lines,
    filename=lines,
    content_type=lines | st.sampled_from(["text/html", "a/b; c"]),
)
def test_any_text_that_is_taken_leaves_the_header_as_it_was_meant(
    caller: Caller, name: str, subject: str, body: str, filename: str, content_type: str
) -> None:
    attached = {"filename": filename, "content": "eA==", "content_type": content_type}
    answer = caller.send(
        to={"email": "ann@example.org", "name": name},
        subject=subject,
        text=body or "x",
        attachments=[attached],
    )
    judged(answer)
    if answer.status_code != 202:
        return
    head = caller.source(answer).partition(b"\r\n\r\n")[0]
    assert head.count(b"\n") == head.count(b"\r\n") == head.count(b"\r")
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert sorted(names) == sorted(
        [b"received", b"date", b"message-id", b"from", b"to", b"subject", b"mime-version", b"content-type"]
    )
    assert caller.recipients(answer) == ["ann@example.org"]
    assert all(len(line) <= 998 for line in head.split(b"\r\n"))
