"""Requests as Zapier, Make, n8n, curl and people's programs write them, and the mail that each means.

A case is a name, a content type, a body, and what is meant: a `Mail`, or the field that the refusal names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=X"
A, B, C = "a@x.org", "b@x.org", "c@x.org"
BASE = {"from": "shop@example.com", "to": A, "subject": "Hi", "text": "Hello."}
FORM_BASE = "from=shop%40example.com&subject=Hi&text=Hello."


@dataclass(frozen=True)
class Mail:
    """What a request means. Only what differs from `BASE` is named."""

    to: tuple[str, ...] = (A,)
    sender: str = "shop@example.com"
    subject: str = "Hi"
    text: str = "Hello."
    headers: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    tag: str | None = None
    files: tuple[str, ...] = ()
    scheduled: bool = False


Case = tuple[str, str, str, Mail | str]


def _json(name: str, meant: Mail | str, **fields: Any) -> Case:
    given = BASE | {"from" if key == "from_" else key: value for key, value in fields.items()}
    body = {key: value for key, value in given.items() if value is not ...}
    return name, JSON, json.dumps(body), meant


def _raw(name: str, body: Any, meant: Mail | str) -> Case:
    return name, JSON, body if isinstance(body, str) else json.dumps(body), meant


def _form(name: str, more: str, meant: Mail | str) -> Case:
    return name, FORM, f"{FORM_BASE}&{more}", meant


def _parts(name: str, parts: list[tuple[str, str]], meant: Mail | str) -> Case:
    head = 'Content-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    fields = [(key, value) for key, value in BASE.items() if key != "to"] + parts
    body = "".join("--X\r\n" + (head.format(key, value) if "\r\n" not in value else value) for key, value in fields)
    return name, MULTIPART, body + "--X--\r\n", meant


def _file(name: str, filename: str, content: str = "x") -> tuple[str, str]:
    """A part with a file, written out."""
    disposition = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"'
    return name, f"{disposition}\r\nContent-Type: text/plain\r\n\r\n{content}\r\n"


ZAPIER: list[Case] = [
    _json("zapier: plain JSON", Mail()),
    _raw("zapier: wrapped in an array", [BASE], Mail()),
    _json("zapier: every optional field mapped and empty", Mail(), cc="", bcc="", reply_to="", html="", tag="",
          metadata="", headers="", send_at="", attachments="", idempotency_key=""),
    _json("zapier: nested keys left flat", Mail(metadata={"order": "7", "shop": "north"}), metadata__order="7",
          metadata__shop="north"),
    _json("zapier: headers left flat", Mail(headers={"X-Campaign": "spring"}), **{"headers__X-Campaign": "spring"}),
    _json("zapier: an empty nested key", Mail(metadata={"order": "7"}), metadata__order="7", metadata__shop=""),
    _json("zapier: the sender in nested keys", Mail(sender="The Shop <shop@example.com>"), from_=...,
          from__email="shop@example.com", from__name="The Shop"),
    _json("zapier: line items of recipients", Mail((A, B)), to=[A, B]),
    _json("zapier: line items with gaps", Mail((A, B)), to=[A, "", None, B]),
    _json("zapier: recipients numbered", Mail((A, B)), to=..., to__0=A, to__1=B),
    _json("zapier: recipients as numbered objects", Mail((A, B)), to=..., to__0__email=A, to__0__name="Ann",
          to__1__email=B),
    _json("zapier: a comma list with quoted names", Mail((A, B)), to='"Doe, J" <a@x.org>, B <b@x.org>'),
    _json("zapier: a list with a trailing comma", Mail((A, B)), to="a@x.org, b@x.org,"),
    _json("zapier: a time with a basic offset", Mail(scheduled=True), send_at="2026-12-01T09:00:00-0500"),
    _json("zapier: metadata as its JSON", Mail(metadata={"order": "7"}), metadata='{"order": "7"}'),
    _json("zapier: metadata with booleans and numbers", Mail(metadata={"paid": "true", "sum": "9.5", "note": ""}),
          metadata={"paid": True, "sum": 9.5, "note": None}),
    _json("zapier: metadata with form booleans", Mail(metadata={"paid": "yes", "sent": "1"}),
          metadata={"paid": "yes", "sent": "1"}),
    _form("zapier: a form", "to=a%40x.org", Mail()),
    _form("zapier: a form with nested keys", "to=a%40x.org&metadata__order=7&headers__X-Foo=bar",
          Mail(metadata={"order": "7"}, headers={"X-Foo": "bar"})),
    _form("zapier: a form with line items", "to=a%40x.org&to=b%40x.org", Mail((A, B))),
    _form("zapier: a form with numbered line items", "to__0=a%40x.org&to__1=b%40x.org", Mail((A, B))),
    _form("zapier: a form with empty fields", "to=a%40x.org&cc=&bcc=&tag=&metadata=&send_at=", Mail()),
]  # fmt: skip
MAKE: list[Case] = [
    _json("make: a list of objects", Mail((A, B)), to=[{"email": A, "name": "Doe, J"}, {"email": B}]),
    _json("make: one object", Mail(), to={"email": A, "name": ""}),
    _json("make: an object with a null name", Mail(), to={"email": A, "name": None}),
    _json("make: a list of one for single fields", Mail(sender="shop@example.com", tag="t"),
          from_=["shop@example.com"], subject=["Hi"], text=["Hello."], tag=["t"]),
    _json("make: a stringified list", Mail((A, B)), to='["a@x.org","b@x.org"]'),
    _json("make: stringified objects", Mail((A, B)), to='[{"email":"a@x.org","name":"A"},{"email":"b@x.org"}]'),
    _json("make: addresses from a text area", Mail((A, B)), to="a@x.org\r\nb@x.org\r\n"),
    _json("make: semicolons, as Outlook copies them", Mail((A, B)), to="A <a@x.org>; B <b@x.org>;"),
    _json("make: an attachment in base64", Mail(files=("a.txt",)),
          attachments=[{"filename": "a.txt", "content": "eA==", "content_type": "text/plain"}]),
    _json("make: an attachment that is not in a list", Mail(files=("a.txt",)),
          attachments={"filename": "a.txt", "content": "eA=="}),
    _json("make: no attachment after all", Mail(), attachments=[{}]),
    _json("make: Unix seconds as a text", Mail(), send_at="1700000000"),
    _json("make: a header that is a number", Mail(headers={"X-Priority": "1"}), headers={"X-Priority": 1}),
    _json("make: an empty header", Mail(), headers={"X-Note": ""}),
    _form("make: urlencoded with brackets", "to%5B%5D=a%40x.org&to%5B%5D=b%40x.org", Mail((A, B))),
    _form("make: urlencoded with collections", "to[0][email]=a@x.org&to[0][name]=Ann&to[1][email]=b@x.org",
          Mail((A, B))),
    _form("make: blanks as plus signs", "to=a%40x.org&subject=Hi&tag=spring+sale", "subject"),
    _parts("make: multipart with a file", [("to", A), _file("file", "report.txt")], Mail(files=("report.txt",))),
    _parts("make: multipart with two files under one name", [("to", A), _file("data", "a.txt"), _file("data", "b.txt")],
           Mail(files=("a.txt", "b.txt"))),
    _parts("make: multipart with empty fields and no file", [("to", A), ("cc", ""), _file("file", "", "")], Mail()),
    _parts("make: multipart with a comma list", [("to", '"Doe, J" <a@x.org>, b@x.org')], Mail((A, B))),
]  # fmt: skip
N8N: list[Case] = [
    _json("n8n: everything as texts", Mail(tag="7"), tag="7", cc="", attachments="[]"),
    _json("n8n: stringified metadata and headers", Mail(metadata={"a": "b"}, headers={"X-A": "b"}),
          metadata='{"a":"b"}', headers='{"X-A":"b"}'),
    _json("n8n: list names with brackets", Mail((A, B)), to=..., **{"to[]": [A, B]}),
    _json("n8n: numbered names with brackets", Mail((A, B)), to=..., **{"to[0]": A, "to[1]": B}),
    _json("n8n: nested names with brackets", Mail(metadata={"order": "7"}), **{"metadata[order]": "7"}),
    _json("n8n: pairs of name and value", Mail(headers={"X-A": "b"}, metadata={"c": "d"}),
          headers=[{"name": "X-A", "value": "b"}], metadata=[{"key": "c", "value": "d"}]),
    _json("n8n: a null for what is missing", Mail(), cc=None, html=None, tag=None, metadata=None, attachments=None),
    _form("n8n: a form with a stringified list", "to=%5B%22a%40x.org%22%2C%22b%40x.org%22%5D", Mail((A, B))),
    _form("n8n: a form with stringified metadata", "to=a@x.org&metadata=%7B%22a%22%3A%22b%22%7D",
          Mail(metadata={"a": "b"})),
    _parts("n8n: multipart with binary data", [("to", A), ("tag", "t"), _file("data", "scan.txt")],
           Mail(tag="t", files=("scan.txt",))),
    _parts("n8n: multipart with a repeated field", [("to", A), ("to", B)], Mail((A, B))),
]  # fmt: skip
CURL: list[Case] = [
    ("curl: -d with JSON, and no header", FORM, json.dumps(BASE), Mail()),
    ("curl: --json", JSON, json.dumps(BASE, indent=2) + "\n", Mail()),
    ("curl: JSON after a byte order mark", JSON, "\ufeff" + json.dumps(BASE), Mail()),
    ("curl: JSON of another kind", "application/vnd.api+json; charset=utf-8", json.dumps(BASE), Mail()),
    _form("curl: --data-urlencode", "to=a%40x.org%2C+b%40x.org", Mail((A, B))),
    _form("curl: nothing escaped", "to=Ann <a@x.org>", Mail()),
    _form("php: http_build_query", "to%5B0%5D=a%40x.org&to%5B1%5D=b%40x.org&metadata%5Border%5D=7",
          Mail((A, B), metadata={"order": "7"})),
    _form("python: requests with a list", "to=a%40x.org&to=b%40x.org&cc=c%40x.org", Mail((A, B, C))),
    _form("a form with an attachment in base64", "to=a@x.org&attachments[0][filename]=a.txt"
          "&attachments[0][content]=eA%3D%3D", Mail(files=("a.txt",))),
    _parts("curl: -F with a file", [("to", A), _file("attachment", "note.txt")], Mail(files=("note.txt",))),
    _json("JavaScript: the same address twice", Mail(), cc="a@X.ORG, a@x.org"),
    _json("Unicode", Mail(subject="Grüße 🎉", text="Schöne Grüße"), subject="Grüße 🎉", text="Schöne Grüße"),
]  # fmt: skip
WRONG: list[Case] = [
    _json("one bad address among good ones", "to", to="a@x.org, nobody"),
    _json("two addresses in one element", "to", to=["a@x.org, b@x.org"]),
    _json("an address without quotes around its comma", "to", to="Doe, J <a@x.org>"),
    _json("nobody at all", "to", to=""),
    _json("nothing to say", "text", text=""),
    _json("no sender", "from", from_=""),
    _json("a sender elsewhere", "from", from_="me@elsewhere.org"),
    _json("several senders", "from", from_="shop@example.com, b@example.com"),
    _json("a capital letter in a field's name", "Subject", Subject="Hi", subject=""),
    _json("a misspelt field", "atachments", atachments=["x"]),
    _json("a field in two ways", "to", **{"to[]": [B]}),
    _json("a field flat and nested", "metadata", metadata={"a": "b"}, metadata__c="d"),
    _json("metadata in depth", "metadata", metadata={"a": {"b": "c"}}),
    _form("metadata in depth, in a form", "to=a@x.org&metadata[a][b]=c", "metadata"),
    _json("metadata as a list", "metadata", metadata=["a"]),
    _json("headers as a list of texts", "headers", headers=["X-A: b"]),
    _json("a header with its own field", "headers", headers={"Reply-To": B}),
    _json("a header of two lines", "headers", headers={"X-A": "b\r\nBcc: c@x.org"}),
    _json("a time without an offset", "send_at", send_at="2026-12-01 09:00:00"),
    _json("a time in milliseconds", "send_at", send_at=1767225600000),
    _json("a time next year", "send_at", send_at="2027-12-01T09:00:00Z"),
    _json("an attachment without content", "attachments", attachments=[{"filename": "a.txt"}]),
    _json("an attachment that is not base64", "attachments", attachments=[{"filename": "a.txt", "content": "ä!"}]),
    _json("an attachment from this very machine", "attachments", attachments="https://127.0.0.1/a.pdf"),
    _json("an attachment over plain http", "attachments", attachments="http://example.org/a.pdf"),
    _form("a text twice", "to=a@x.org&tag=a&tag=b", "tag"),
    _parts("a text as a file", [("to", A), _file("html", "body.html")], "html"),
]  # fmt: skip
CORPUS = [*ZAPIER, *MAKE, *N8N, *CURL, *WRONG]
