"""Hooks and events over the API: subscribing in every shape, once however often, and only for one's own domain."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from integrations.api.schemas_hooks import EventOut
from tests.support.factories import make_api_key, make_domain
from webapp.core.models import AuditEntry, Hook, HookDelivery, utcnow
from webapp.core.services import events, hooks

from .conftest import Caller, refused

TARGET = "https://hooks.example.net/catch/1"


def subscribe(caller: Caller, body: Any = None, **fields: Any) -> Any:
    answer = caller.open("/hooks", method="POST", json=body or {"target_url": TARGET, "events": ["delivered"]} | fields)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return answer.json


def stored(caller: Caller) -> list[Hook]:
    with caller.gateway.database.session() as session:
        return list(session.query(Hook).filter(Hook.deleted_at.is_(None)).order_by(Hook.id))


def test_a_subscription_tells_its_secret(caller: Caller) -> None:
    made = subscribe(caller, events=["failed", "delivered"])

    assert set(made) == {"id", "target_url", "events", "secret"}
    assert (made["target_url"], made["events"]) == (TARGET, ["delivered", "failed"])
    assert made["secret"].startswith("whsec_")
    (hook,) = stored(caller)
    assert made["secret"] not in hook.secret
    with caller.gateway.database.session() as session:
        (entry,) = session.query(AuditEntry).filter_by(object_type="hook")
    assert (entry.action, entry.changes["secret"], entry.changes["target"]) == (
        "create", "(secret)", "hooks.example.net",
    )  # fmt: skip
    assert TARGET not in json.dumps(entry.changes)


def test_the_same_again_is_the_same_hook(caller: Caller) -> None:
    first = subscribe(caller, events=["bounced", "delivered"])

    assert subscribe(caller, events=["delivered", "bounced", "delivered"]) == first
    assert subscribe(caller, events=["delivered"])["id"] != first["id"]
    assert subscribe(caller, target_url=TARGET + "2", events=["bounced", "delivered"])["id"] != first["id"]
    other = Caller(caller.app, make_api_key(caller.gateway)[1])
    assert subscribe(other, events=["bounced", "delivered"])["id"] != first["id"]
    assert len(stored(caller)) == 4


def test_subscribing_again_mends_what_failures_had_paused(caller: Caller) -> None:
    made = subscribe(caller)
    with caller.gateway.database.session() as session:
        hooks.stop(session, [made["id"]], state="paused", reason="it answered 500", now=utcnow())

    assert subscribe(caller) == made
    assert stored(caller)[0].state == "active"


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        ({"target_url": TARGET, "events": "delivered, bounced"}, None),
        ({"target_url": TARGET, "events": ["delivered", "bounced"]}, None),
        ({"target_url": TARGET, "events[]": ["bounced", "delivered"]}, None),
        ({"target_url": TARGET, "events": '["delivered","bounced"]'}, None),
        ({"target_url": TARGET, "events": "delivered,bounced"}, "multipart/form-data"),
        (json.dumps([{"target_url": [TARGET], "events": ["delivered", "bounced"]}]), "application/json"),
        (json.dumps({"target_url": TARGET, "events": '["delivered", "bounced"]'}), "application/json"),
        (json.dumps({"target_url": TARGET, "events": "bounced,delivered"}), "application/json"),
        (json.dumps({"target_url": f" {TARGET} ", "events[]": ["Bounced", "", "delivered"]}), "application/json"),
    ],
)
def test_all_shapes_of_a_body(caller: Caller, data: Any, content_type: str | None) -> None:
    answer = caller.open("/hooks", method="POST", data=data, content_type=content_type)

    assert answer.status_code == 201, answer.get_data(as_text=True)
    assert (answer.json["target_url"], answer.json["events"]) == (TARGET, ["delivered", "bounced"])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"events": []}, "events"),
        ({"events": ""}, "events"),
        ({"events": None}, "events"),
        ({"events": ["opened"]}, "events"),
        ({"events": ["delivered", 7]}, "events"),
        ({"events": {"delivered": True}}, "events"),
        ({"target_url": None}, "target_url"),
        ({"target_url": 7}, "target_url"),
        ({"target_url": "http://hooks.example.net/"}, "target_url"),
        ({"target_url": "https://127.0.0.1/"}, "target_url"),
        ({"target_url": "https://localhost/"}, "target_url"),
        ({"target_url": "https://user:pw@hooks.example.net/"}, "target_url"),
        ({"target_url": "not an address"}, "target_url"),
        ({"target_url": "https://hooks.example.net/" + "x" * 2000}, "target_url"),
        ({"hookUrl": TARGET}, "hookUrl"),
    ],
)
def test_what_can_t_be_is_refused_with_the_field_s_name(caller: Caller, fields: Any, field: str) -> None:
    body = {"target_url": TARGET, "events": ["delivered"]} | fields
    answer = caller.open("/hooks", method="POST", json={k: v for k, v in body.items() if v is not None})

    refused(answer, 422, "invalid_field", field)
    assert stored(caller) == []


def test_private_targets_where_they_are_allowed(make_caller: Callable[..., Caller]) -> None:
    caller = make_caller(allow_private_webhooks=True)

    assert subscribe(caller, target_url="http://127.0.0.1:9/x")["target_url"] == "http://127.0.0.1:9/x"
    body = {"target_url": "http://169.254.169.254/", "events": ["failed"]}
    refused(caller.open("/hooks", method="POST", json=body), 422, "invalid_field", "target_url")


def test_a_domain_has_only_so_many(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "MOST_HOOKS", 1)
    subscribe(caller)

    body = {"target_url": TARGET + "2", "events": ["failed"]}
    refused(caller.open("/hooks", method="POST", json=body), 422, "invalid_field", "target_url")


def test_unsubscribing_is_for_the_key_that_subscribed_and_always_answers_alike(caller: Caller) -> None:
    made = subscribe(caller)
    other = Caller(caller.app, make_api_key(caller.gateway)[1])
    make_domain(caller.gateway, "example.org")
    stranger = Caller(caller.app, make_api_key(caller.gateway, domain="example.org")[1])

    for who in (other, stranger):
        assert who.open(f"/hooks/{made['id']}", method="DELETE").status_code == 204
    assert len(stored(caller)) == 1
    for id_ in (made["id"], made["id"], 999, "x", "9" * 30):
        answer = caller.open(f"/hooks/{id_}", method="DELETE")
        assert (answer.status_code, answer.data) == (204, b"")
    assert stored(caller) == []
    assert subscribe(caller)["id"] != made["id"]


def test_events_are_listed_newest_first_as_hooks_get_them(caller: Caller) -> None:
    subscribe(caller, events=["accepted"])
    ids = [caller.send(to=f"{name}@example.org", tag="order").json["id"] for name in ("ann", "bob")]

    listed = caller.get("/events")

    assert (listed.status_code, listed.mimetype) == (200, "application/json")
    assert [event["message_id"] for event in listed.json] == ids[::-1]
    with caller.gateway.database.session() as session:
        queued = [row.event_id for row in session.query(HookDelivery).order_by(HookDelivery.id)]
        payloads = events.payloads(session, queued)
    assert listed.json == [payloads[id_] for id_ in queued][::-1]
    for event in listed.json:
        assert list(event) == list(EventOut.model_fields)
        assert EventOut.model_validate(event).model_dump(mode="json") == event


def test_events_of_a_kind_and_so_many(caller: Caller) -> None:
    for _ in range(3):
        caller.send()

    assert len(caller.get("/events?event=accepted&limit=2").json) == 2
    assert len(caller.get("/events?event=bounced,accepted").json) == 3
    assert caller.get("/events?event=bounced").json == []
    assert len(caller.get("/events?event=&limit=").json) == 3
    for query, field in (("event=opened", "event"), ("limit=0", "limit"), ("limit=x", "limit"), ("event=%00", "event")):
        refused(caller.get(f"/events?{query}"), 422, "invalid_field", field)


def test_another_domain_s_events_are_not_listed(caller: Caller) -> None:
    caller.send()
    make_domain(caller.gateway, "example.org")
    stranger = Caller(caller.app, make_api_key(caller.gateway, domain="example.org")[1])

    assert stranger.get("/events").json == []


def test_samples_are_as_described() -> None:
    for name in events.EventName:
        one = events.sample(name, domain="example.com", now=utcnow())
        assert EventOut.model_validate(one).model_dump(mode="json") == one
