"""What a key can look up: messages of its domain, by whatever door they came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.factories import make_api_key, make_domain, make_smtp_user, submission
from tests.support.queue import enqueue
from webapp.core.models import Delivery, Message, SmtpUser
from webapp.core.rules.statuses import Status
from webapp.core.rules.submission import Credential

from .conftest import Caller, parsed, refused


def test_one_message_has_exactly_the_documented_shape(caller: Caller) -> None:
    sent = caller.send(to=["ann@example.org", "bob@example.org"], tag="orders", subject="Größe").json
    shown = caller.get(f"/messages/{sent['id']}").json
    assert shown.pop("created_at") == sent["created_at"]
    assert datetime.fromisoformat(shown["recipients"][0].pop("next_try_at")).tzinfo
    assert shown["recipients"].pop()["email"] == "bob@example.org"
    assert shown == {
        "id": sent["id"],
        "status": "queued",
        "from_email": "shop@example.com",
        "subject": "Größe",
        "tag": "orders",
        "recipients": [
            {"email": "ann@example.org", "status": "queued", "smtp_code": None, "reason": None, "attempts": 0}
        ],
    }


def test_what_happened_to_each_recipient_is_told(caller: Caller) -> None:
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    sent = caller.send(to=["a@x.org", "b@x.org"], tag=None)
    with caller.gateway.database.session() as session:
        first, second = session.query(Delivery).order_by(Delivery.id)
        first.status, first.smtp_code, first.reason, first.attempts, first.due_at = "deferred", 451, "busy", 2, later
        second.status, second.smtp_code, second.reason, second.attempts, second.due_at = "bounced", 550, "no", 1, None
        first.message.status = "deferred"
    shown = caller.get(f"/messages/{sent.json['id']}").json
    assert (shown["status"], shown["tag"]) == ("deferred", None)
    assert shown["recipients"] == [
        {
            "email": "a@x.org",
            "status": "deferred",
            "smtp_code": 451,
            "reason": "busy",
            "attempts": 2,
            "next_try_at": later.isoformat(timespec="milliseconds"),
        },
        {
            "email": "b@x.org",
            "status": "bounced",
            "smtp_code": 550,
            "reason": "no",
            "attempts": 1,
            "next_try_at": None,
        },
    ]


def test_a_lease_is_no_next_try(caller: Caller) -> None:
    sent = caller.send()
    for status in ("delivering", "held"):
        with caller.gateway.database.session() as session:
            session.query(Delivery).one().status = status
        assert caller.get(f"/messages/{sent.json['id']}").json["recipients"][0]["next_try_at"] is None


def test_the_source_is_what_is_sent(caller: Caller) -> None:
    sent = caller.send(bcc="secret@example.org")
    answer = caller.get(f"/messages/{sent.json['id']}/source")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "message/rfc822"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.data == caller.source(sent)
    assert b"secret@" not in answer.data
    assert parsed(answer.data)["Subject"] == "Your order"


def test_mail_from_the_other_door_is_there_too(caller: Caller) -> None:
    gateway = caller.gateway
    user_id = make_smtp_user(gateway)
    with gateway.database.session() as session:
        user = session.get_one(SmtpUser, user_id)
        credential = Credential("smtp_user", user.id, user.name, user.domain_id, "example.com", 1)
    accepted = gateway.submit(submission(credential)).result()
    assert caller.get(f"/messages/{accepted.id}").json["subject"] == "Your order"
    assert [one["id"] for one in caller.get("/messages").json["data"]] == [accepted.id]


def test_another_domains_messages_are_not_there(caller: Caller) -> None:
    make_domain(caller.gateway, "example.net")
    other = Caller(caller.app, make_api_key(caller.gateway, domain="example.net")[1])
    sent = caller.send().json["id"]
    assert other.get("/messages").json == {"data": []}
    assert other.get("/messages?recipient=ann@example.org").json == {"data": []}
    for path in (f"/messages/{sent}", f"/messages/{sent}/source"):
        theirs = refused(other.get(path), 404, "not_found").partition(" [ref")[0]
        assert theirs == refused(other.get("/messages/msg_nothing"), 404, "not_found").partition(" [ref")[0]
        assert caller.get(path).status_code == 200


def test_the_list_is_newest_first_and_limited(caller: Caller) -> None:
    ids = [caller.send(subject=str(number)).json["id"] for number in range(55)]
    newest = ids[::-1]

    def listed(query: str = "") -> list[str]:
        return [one["id"] for one in caller.get(f"/messages{query}").json["data"]]

    assert sorted(listed(), reverse=True) == listed()
    assert set(listed()) < set(newest)
    assert len(listed()) == 50
    assert len(listed("?limit=")) == 50
    assert len(listed("?limit=100")) == 55
    assert listed("?limit=1") == [max(ids)]


def test_the_list_can_be_narrowed(caller: Caller) -> None:
    first = caller.send(to="ann@example.org", cc="bob@example.org").json["id"]
    second = caller.send(to="bob@example.org").json["id"]
    with caller.gateway.database.session() as session:
        session.get_one(Message, first).status = "delivered"

    def listed(query: str) -> set[str]:
        return {one["id"] for one in caller.get(f"/messages?{query}").json["data"]}

    assert listed("recipient=bob@example.org") == {first, second}
    assert listed("recipient=%20ann@EXAMPLE.org%20") == {first}
    assert listed("recipient=ANN@example.org") == {first}
    assert listed("recipient=nobody@example.org") == set()
    assert listed("status=delivered") == {first}
    assert listed("status=queued&recipient=bob@example.org") == {second}
    assert listed("status=&recipient=") == {first, second}
    for status in Status:
        assert caller.get(f"/messages?status={status}").status_code == 200


def test_wrong_questions_are_422_with_the_parameter(caller: Caller, subtests: pytest.Subtests) -> None:
    wrong = {
        "limit": ("0", "101", "-1", "1.5", "%D9%A3", "9" * 5000, "x"),
        "status": ("lost", "queued%00"),
        "recipient": ("nobody", "%00@example.org", "%ff@example", "a%0Ab@example.org"),
    }
    for name, values in wrong.items():
        for value in values:
            with subtests.test(name=name, value=value[:20]):
                refused(caller.get(f"/messages?{name}={value}"), 422, "invalid_field", name)


def test_ids_that_are_none_are_404(caller: Caller) -> None:
    for message_id in ("msg_x", "%00", "%ff", "' OR 1=1 --", "é", "x" * 500, ".."):
        refused(caller.get(f"/messages/{message_id}"), 404, "not_found")
        refused(caller.get(f"/messages/{message_id}/source"), 404, "not_found")


def test_notices_that_this_server_writes_are_no_program_s_business(caller: Caller) -> None:
    sent = caller.send().json["id"]
    notice = enqueue(caller.gateway, "shop@example.com", door="system", envelope_from="")
    assert [message["id"] for message in caller.get("/messages").json["data"]] == [sent]
    for path in (f"/messages/{notice}", f"/messages/{notice}/source"):
        refused(caller.get(path), 404, "not_found")


def test_a_recipient_is_found_whatever_the_case(caller: Caller) -> None:
    sent = caller.send(to=["Ann.Lee@Example.org", "Jörg@example.org"]).json["id"]

    for asked in ("ann.lee@example.org", "ANN.LEE@EXAMPLE.ORG", "Ann.Lee@example.org", "Jörg@Example.ORG"):
        found = caller.get(f"/messages?recipient={asked}").json["data"]
        assert [message["id"] for message in found] == [sent], asked
