"""The Zapier app against a live server: a connection, sending, finding, and what is said when something is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.attachments import attachments_job
from tests.integrations.attachments.fileserver import FILE
from tests.integrations.attachments.fileserver import serving as serving_files
from tests.support.queue import running, until
from webapp.core.models import Message, MessageSource
from webapp.core.rules.refusals import Reason, Refused

from .conftest import Core, Live, ZapierError

SEND, FIND = "creates.send_email.operation.perform", "searches.find_message.operation.perform"
MAIL = {"from": "shop@example.com", "to": ["ann@example.org"], "subject": "Your order", "text": "It is on its way."}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def messages(live: Live) -> list[Message]:
    with live.gateway.database.session() as session:
        return session.query(Message).order_by(Message.id).all()


def refused(core: Core, method: str, **bundle: Any) -> ZapierError:
    with pytest.raises(ZapierError) as caught:
        core.call(method, **bundle)
    assert len(caught.value.said["message"]) <= 250
    return caught.value


def test_a_connection(core: Core, live: Live) -> None:
    me = core.call("authentication.test", authData=live.auth)
    assert me["domain"] == "example.com"
    assert me["name"] == "Zapier"
    for pasted in (f" {live.url}/ ", f"{live.url}/admin/credentials/?x=1", f"{live.url}/v1/me"):
        assert core.call("authentication.test", authData=live.auth | {"base_url": pasted}) == me


def test_a_connection_that_can_t_be(core: Core, live: Live) -> None:
    wrong = refused(core, "authentication.test", authData=live.auth | {"api_key": "pl_nonsense"})
    assert wrong.name == "ExpiredAuthError"
    assert "reconnect" in wrong.said["message"]
    for pasted, said in (
        ("", "Enter your server's address"),
        ("not an address", "not a web address"),
        ("http://mail.example.com", "https://"),
        ("ftp://mail.example.com", "https://"),
        ("https://me:secret@mail.example.com", "Leave user name"),
    ):
        problem = refused(core, "authentication.test", authData=live.auth | {"base_url": pasted})
        assert said in problem.said["message"]
        assert "secret" not in problem.said["message"]


def test_sending(core: Core, live: Live) -> None:
    fields = MAIL | {
        "from": "shop", "domain": "example.com", "from_name": "Our Shop, Ltd",
        "to": ['"Doe, J" <j@example.org>, b@example.org', "c@example.org"], "bcc": ["d@example.org"],
        "cc": [], "html": "<p>It is on its way.</p>", "tag": "orders", "metadata": {"order": "7"}, "send_at": "",
    }  # fmt: skip
    sent = core.call(SEND, authData=live.auth, inputData=fields)
    assert sent["to"] == ["j@example.org", "b@example.org", "c@example.org"]
    assert sent["to_count"] == 4
    (message,) = messages(live)
    assert (message.id, message.tag, message.details) == (sent["id"], "orders", {"order": "7"})
    with live.gateway.database.session() as session:
        source = session.get_one(MessageSource, message.id).source
    assert b'From: "Our Shop, Ltd" <shop@example.com>' in source


def test_a_repeated_step_sends_once(core: Core, live: Live) -> None:
    zap = {"zap": {"id": 17}}
    first = core.call(SEND, authData=live.auth, inputData=MAIL, meta=zap)
    assert core.call(SEND, authData=live.auth, inputData=MAIL, meta=zap)["id"] == first["id"]
    ids = {core.call(SEND, authData=live.auth, inputData=MAIL | {"idempotency_key": key})["id"] for key in "ababa"}
    assert len(ids) == 2
    other = core.call(SEND, authData=live.auth, inputData=MAIL, meta={"zap": {"id": 18}})
    assert other["id"] != first["id"]
    assert len(messages(live)) == 4


def test_attachments_by_url(core: Core, live: Live) -> None:
    with serving_files() as files:
        fields = MAIL | {"attachments": [f"{files.url}/report.pdf", f"{files.url}/named"]}
        sent = core.call(SEND, authData=live.auth, inputData=fields)
        with running(attachments_job(live.gateway)):
            until(lambda: core.call(FIND, authData=live.auth, inputData={"message_id": sent["id"]}))
            with live.gateway.database.session() as session:
                until(lambda: session.get(MessageSource, sent["id"], populate_existing=True))
                source = session.get_one(MessageSource, sent["id"]).source
    assert b'filename="report.pdf"' in source
    assert len(source) > 2 * len(FILE)


def test_what_is_wrong_is_said_in_a_sentence(core: Core, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = refused(core, SEND, authData=live.auth, inputData=MAIL | {"to": ["nobody"]})
    assert (wrong.name, wrong.said["status"]) == ("AppError", 422)
    assert "nobody" in wrong.said["message"]
    assert refused(core, SEND, authData=live.auth | {"api_key": "x"}, inputData=MAIL).name == "ExpiredAuthError"

    def busy(*_: object) -> None:
        raise Refused(Reason.TOO_MANY_CONNECTIONS, retry_after=7)

    monkeypatch.setattr(live.gateway, "submit", busy)
    throttled = refused(core, SEND, authData=live.auth, inputData=MAIL)
    assert (throttled.name, throttled.said["delay"]) == ("ThrottledError", 7)
    assert "Too many" in throttled.said["message"]

    def gone(*_: object) -> None:
        raise Refused(Reason.STORAGE)

    monkeypatch.setattr(live.gateway, "submit", gone)
    assert refused(core, SEND, authData=live.auth, inputData=MAIL).name == "ThrottledError"


def test_finding(core: Core, live: Live) -> None:
    first, second = (core.call(SEND, authData=live.auth, inputData=MAIL | {"subject": s})["id"] for s in ("One", "Two"))

    def find(**fields: str) -> list[str]:
        return [found["id"] for found in core.call(FIND, authData=live.auth, inputData=fields)]

    assert find(message_id=first) == [first]
    assert find(recipient="ann@example.org") == [second]
    assert find(recipient="ann@example.org", status="delivered") == []
    assert find(message_id="msg_unknown") == []
    assert "Give a message" in refused(core, FIND, authData=live.auth, inputData={}).said["message"]
    assert "status" in refused(core, FIND, authData=live.auth, inputData={"status": "lost"}).said["message"]


def test_the_drop_downs(core: Core, live: Live) -> None:
    assert [one["name"] for one in core.call("triggers.domain.operation.perform", authData=live.auth)] == [
        "example.com"
    ]
    sent = core.call(SEND, authData=live.auth, inputData=MAIL)
    (listed,) = core.call("triggers.message.operation.perform", authData=live.auth)
    assert listed == {"id": sent["id"], "title": "Your order (ann@example.org)"}
