"""Make, played against a live server: the connection, each module, and the instant trigger's whole life."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from integrations.attachments import attachments_job
from integrations.webhooks import webhooks_job
from tests.integrations.api.conftest import parsed
from tests.integrations.attachments.fileserver import FILE
from tests.integrations.attachments.fileserver import serving as serving_files
from tests.integrations.zapier.conftest import Live, live
from tests.support.hook_receiver import HookReceiver
from tests.support.queue import running, until
from webapp.core.models import Hook, Message, MessageSource, utcnow
from webapp.core.rules.refusals import Reason, Refused

from .player import Make, MakeError, code

__all__ = ["live"]
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
MAIL: dict[str, Any] = {"from": "shop@example.com", "to": ["ann@example.org"], "subject": "Your order", "text": "Soon."}


@pytest.fixture
def make(live: Live) -> Make:
    return Make({"baseUrl": f" {live.url}/", "apiKey": live.key})


def source(live: Live, message_id: str) -> Any:
    with live.gateway.database.session() as session:
        return parsed(session.get_one(MessageSource, message_id).source)


def test_a_connection(make: Make, live: Live) -> None:
    assert make.connect() == "example.com (Zapier)"
    assert make.options("listDomains") == [{"label": "example.com", "value": "example.com"}]
    with pytest.raises(MakeError) as wrong:
        Make({"baseUrl": live.url, "apiKey": "pl_nonsense"}).connect()
    assert wrong.value.kind == "InvalidAccessTokenError"


def test_sending_what_is_mapped(make: Make, live: Live) -> None:
    when = utcnow() + timedelta(hours=2)
    sent = make.run(
        "sendEmail",
        **MAIL | {
            "from": "shop", "domain": "example.com", "fromName": "Our Shop, Ltd",
            "to": ['"Doe, J" <j@example.org>', "b@example.org"], "cc": ["c@example.org"], "bcc": ["d@example.org"],
            "html": "<p>Soon.</p>", "tag": "orders", "metadata": '{"order": "7"}', "sendAt": when,
            "file1": {"name": "Größe.pdf", "data": FILE}, "file2": {"name": "b.txt", "data": b"note"},
        },
    )  # fmt: skip
    assert (sent["to"], sent["to_count"], sent["status"]) == (["j@example.org", "b@example.org"], 4, "scheduled")
    message = source(live, sent["id"])
    assert message["From"] == '"Our Shop, Ltd" <shop@example.com>'
    assert [(part.get_filename(), part.get_payload(decode=True)) for part in message.iter_attachments()] == [
        ("Größe.pdf", FILE),
        ("b.txt", b"note"),
    ]
    with live.gateway.database.session() as session:
        row = session.get_one(Message, sent["id"])
        assert (row.tag, row.details, row.send_at) == ("orders", {"order": "7"}, when.replace(microsecond=0))


def test_files_by_url(make: Make, live: Live) -> None:
    with serving_files() as files, running(attachments_job(live.gateway)):
        sent = make.run("sendEmail", **MAIL, urls=[f"{files.url}/a.pdf", f"{files.url}/b.pdf"])

        def complete() -> bool:
            with live.gateway.database.session() as session:
                return session.get(MessageSource, sent["id"]) is not None

        until(complete)
    assert [part.get_filename() for part in source(live, sent["id"]).iter_attachments()] == ["a.pdf", "b.pdf"]


def test_a_repeat_sends_nothing_again(make: Make) -> None:
    ids = {make.run("sendEmail", **MAIL, idempotencyKey="order-7")["id"] for _ in range(2)}
    assert len(ids) == 1


def test_searching_and_any_other_call(make: Make) -> None:
    ids = [make.run("sendEmail", **MAIL)["id"] for _ in range(3)]
    found = make.run("searchMessages", recipient="ann@example.org", limit=2)
    assert [one["id"] for one in found] == [ids[2], ids[1]]
    assert make.run("searchMessages", status="delivered", limit=10) == []

    called = make.run("makeApiCall", url="/v1/messages", method="GET", qs=[{"key": "limit", "value": "1"}])
    assert (called["statusCode"], [one["id"] for one in called["body"]["data"]]) == (200, [ids[2]])
    body = '{"from": "shop@example.com", "to": "a@example.org", "subject": "x", "text": "y"}'
    json_type = [{"key": "Content-Type", "value": "application/json"}]
    assert make.run("makeApiCall", url="v1/send", method="POST", headers=json_type, body=body)["statusCode"] == 202
    for elsewhere in ("https://evil.example/v1/me", "//evil.example/v1/me", "@evil.example"):
        with pytest.raises(MakeError, match="404"):
            make.run("makeApiCall", url=elsewhere, method="GET")


def test_errors_say_what_to_do_and_the_passing_ones_back_off(
    make: Make, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MakeError, match=r"\[422\] In to.*nobody") as wrong:
        make.run("sendEmail", **MAIL | {"to": ["nobody"]})
    assert wrong.value.kind == "DataError"
    for reason, kind in (
        (Reason.TOO_MANY_CONNECTIONS, "RateLimitError"),
        (Reason.STORAGE, "ConnectionError"),
        (Reason.INTERNAL, "ConnectionError"),
    ):

        def refuse(*_: object, reason: Reason = reason) -> None:
            raise Refused(reason)

        monkeypatch.setattr(live.gateway, "submit", refuse)
        with pytest.raises(MakeError) as passing:
            make.run("sendEmail", **MAIL)
        assert passing.value.kind == kind


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as started:
        yield started


def hooks(live: Live) -> list[Hook]:
    with live.gateway.database.session() as session:
        return session.query(Hook).filter(Hook.deleted_at.is_(None)).all()


def test_the_instant_trigger(make: Make, live: Live, receiver: HookReceiver) -> None:
    """Attached, it brings events, after a 429 too; a 410 ends it; detached, it is gone, as often as one asks."""
    webhook = make.attach("emailEvents", receiver.url, events=["accepted"])
    assert make.attach("emailEvents", receiver.url, events=["accepted"]) == webhook
    receiver.answer = lambda _: 429 if len(receiver.received) == 1 else 200
    with running(webhooks_job(live.gateway)):
        sent = make.run("sendEmail", **MAIL | {"to": ["a@example.org", "b@example.org"]})
        until(lambda: len(receiver.received) == 3)
        bundles = [make.receive("emailEvents", json.loads(got.body)) for got in receiver.received]
        assert {bundle["recipient"] for bundle in bundles} == {"a@example.org", "b@example.org"}
        assert {bundle["message_id"] for bundle in bundles} == {sent["id"]}
        interface = code(make.app["components"]["module"]["watchEmailEvents"], "interface")
        assert list(bundles[0]) == [one["name"] for one in interface]

        receiver.answer = 410
        make.run("sendEmail", **MAIL)
        until(lambda: hooks(live)[0].state != "active")
        receiver.received.clear()
        make.run("sendEmail", **MAIL)
    assert receiver.received == []
    make.detach("emailEvents", webhook)
    make.detach("emailEvents", webhook)
    assert hooks(live) == []


def test_a_detached_trigger_hears_nothing(make: Make, live: Live, receiver: HookReceiver) -> None:
    webhook = make.attach("emailEvents", receiver.url, events=["accepted", "delivered"])
    other = make.attach("emailEvents", f"{receiver.url}/other", events=["accepted"])
    make.detach("emailEvents", webhook)
    with running(webhooks_job(live.gateway)):
        make.run("sendEmail", **MAIL)
        until(lambda: receiver.received)
    assert [got.path for got in receiver.received] == ["/catch/other"]
    make.detach("emailEvents", other)
