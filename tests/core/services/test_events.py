"""Events: what is written when, for whom it is queued, and the one shape in which it is told."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.core.services.queueing import POLICY, ids, settle, take, tried
from tests.support.factories import make_api_key, make_domain, make_smtp_user, submission
from tests.support.queue import enqueue
from webapp.core.models import ApiKeyRow, Domain, HookDelivery, utcnow
from webapp.core.rules.events import EventName
from webapp.core.rules.statuses import Status
from webapp.core.rules.submission import Credential
from webapp.core.services import credentials, domains, events, hooks
from webapp.core.services.audit import COMMAND_LINE
from webapp.core.services.gateway import Gateway
from webapp.core.services.outcomes import Outcome, RetryPolicy

KEYS = [
    "id",
    "event",
    "occurred_at",
    "message_id",
    "domain",
    "from_email",
    "recipient",
    "subject",
    "tag",
    "bounce_type",
    "smtp_code",
    "reason",
    "metadata_json",
    "credential_type",
    "credential_name",
    "credential_note",
    "ip",
]


def listed(gateway: Gateway, **values: Any) -> list[dict[str, Any]]:
    """The events of example.com, oldest first."""
    with gateway.database.session() as session:
        domain = domains.find(session, "example.com")
        return events.latest(session, domain.id, limit=100, **values)[::-1]


def make_hook(gateway: Gateway, *names: str, domain: str = "example.com", **values: Any) -> int:
    with gateway.database.session() as session:
        hook, _ = hooks.create(
            session,
            COMMAND_LINE,
            gateway.vault,
            domain=domains.find(session, domain),
            name="Orders",
            target_url="https://hooks.example.net/x",
            events=names or list(EventName),
            **values,
        )
        session.flush()
        return hook.id


def queued(gateway: Gateway) -> list[tuple[int, str]]:
    """What waits for hooks: hook id and event, in order."""
    with gateway.database.session() as session:
        rows = list(session.query(HookDelivery).order_by(HookDelivery.id))
        found = events.payloads(session, [row.event_id for row in rows if row.event_id])
        return [(row.hook_id, found[row.event_id]["event"]) for row in rows]


def accept(gateway: Gateway, **values: Any) -> str:
    key_id, _ = make_api_key(gateway)
    with gateway.database.session() as session:
        key = session.get_one(ApiKeyRow, key_id)
        credential = Credential("api_key", key.id, key.name, key.domain_id, "example.com", key.secrets[0].id)
    return gateway.submit(submission(credential, **values)).result(20).id


def test_an_accepted_message_is_told_of_for_each_recipient(gateway: Gateway) -> None:
    make_domain(gateway)
    message_id = accept(gateway, recipients=("ann@example.org", "bob@example.org"), tag="order", metadata={"n": "7"})

    told = listed(gateway)

    assert {event["recipient"] for event in told} == {"ann@example.org", "bob@example.org"}
    one = told[0]
    assert list(one) == KEYS
    assert datetime.fromisoformat(one["occurred_at"]).tzinfo is not None
    assert one["id"].startswith("evt_")
    assert json.loads(one["metadata_json"]) == {"n": "7"}
    assert {name: value for name, value in one.items() if name not in {"id", "occurred_at", "recipient"}} == {
        "event": "accepted",
        "message_id": message_id,
        "domain": "example.com",
        "from_email": "shop@example.com",
        "subject": "Your order",
        "tag": "order",
        "metadata_json": one["metadata_json"],
    } | dict.fromkeys(
        ["bounce_type", "smtp_code", "reason", "credential_type", "credential_name", "credential_note", "ip"]
    )


def test_what_becomes_of_a_recipient_is_told_in_the_same_transaction(gateway: Gateway) -> None:
    enqueue(gateway, *(f"{name}@example.org" for name in ("ann", "bob", "eve", "joe", "sue", "tom")))
    delivered, deferred, bounced, failed, captured, put_off = ids(take(gateway))

    settle(
        gateway,
        tried(delivered, Status.DELIVERED, "2.0.0 Ok", 250),
        tried(deferred, Status.DEFERRED, "4.7.1 Later", 451),
        tried(bounced, Status.BOUNCED, "5.1.1 No such user", 550),
        tried(failed, Status.FAILED, "Too old"),
        Outcome(captured, Status.CAPTURED),
        Outcome(put_off, Status.DEFERRED, "The host is known to be down.", not_before=utcnow()),
    )

    assert sorted((e["event"], e["recipient"], e["smtp_code"], e["reason"]) for e in listed(gateway)) == [
        ("bounced", "eve@example.org", 550, "5.1.1 No such user"),
        ("deferred", "bob@example.org", 451, "4.7.1 Later"),
        ("delivered", "ann@example.org", 250, "2.0.0 Ok"),
        ("failed", "joe@example.org", None, "Too old"),
    ]


def test_giving_up_is_told_as_failed(gateway: Gateway) -> None:
    enqueue(gateway)
    policy = RetryPolicy(first=POLICY.first, max_age=timedelta(microseconds=1))

    settle(gateway, tried(ids(take(gateway))[0], Status.DEFERRED, "4.7.1 Later", 451), policy=policy)

    (event,) = listed(gateway)
    assert event["event"] == "failed"
    assert event["reason"].startswith("Gave up after")


def test_what_this_server_writes_to_its_owners_is_not_told(gateway: Gateway) -> None:
    enqueue(gateway, door="system")

    settle(gateway, tried(ids(take(gateway))[0], Status.DELIVERED))

    assert listed(gateway) == []


def test_an_outcome_of_a_lost_lease_is_not_told(gateway: Gateway) -> None:
    enqueue(gateway)
    (delivery_id,) = ids(take(gateway))

    settle(gateway, tried(delivery_id, Status.DELIVERED), lease="another")

    assert listed(gateway) == []


def test_a_locked_credential_is_told_of_only_if_it_exists(gateway: Gateway) -> None:
    make_domain(gateway)
    make_smtp_user(gateway)
    hook = make_hook(gateway, "credential_locked", "bounced")
    with gateway.database.session() as session:
        for name in ("printer@example.com", "nobody@example.com"):
            values: dict[str, Any] = {"ip": "203.0.113.9", "reason": "Too many failures.", "now": utcnow()}
            events.credential_locked(session, username=name, **values)

    (event,) = listed(gateway)

    assert list(event) == KEYS
    assert (event["credential_type"], event["credential_name"]) == ("smtp_user", "printer@example.com")
    assert (event["ip"], event["reason"], event["message_id"]) == ("203.0.113.9", "Too many failures.", None)
    assert queued(gateway) == [(hook, "credential_locked")]


def test_events_wait_for_the_hooks_of_their_domain_that_want_them(gateway: Gateway) -> None:
    make_domain(gateway)
    make_domain(gateway, "example.org")
    all_of_it, accepted = make_hook(gateway), make_hook(gateway, "accepted")
    make_hook(gateway, "bounced")
    make_hook(gateway, "accepted", domain="example.org")

    accept(gateway)

    assert sorted(queued(gateway)) == [(all_of_it, "accepted"), (accepted, "accepted")]


@pytest.mark.parametrize("end", ["disabled", "expired", "deleted"])
def test_a_key_that_works_no_more_pauses_its_hooks(gateway: Gateway, end: str) -> None:
    make_domain(gateway)
    key_id, _ = make_api_key(gateway)
    hook_id = make_hook(gateway, "accepted", credential_id=key_id)
    with gateway.database.session() as session:
        key = session.get_one(ApiKeyRow, key_id)
        if end == "disabled":
            credentials.set_disabled(session, COMMAND_LINE, key, disabled=True)
        elif end == "expired":
            credentials.set_expiry(session, COMMAND_LINE, key, utcnow())
        else:
            credentials.delete(session, COMMAND_LINE, key)

    accept(gateway)

    assert queued(gateway) == []
    with gateway.database.session() as session:
        state, _, reason = hooks.state_of(session.get_one(hooks.Hook, hook_id), utcnow())
        assert (state, end in reason) == ("paused", True)


def test_a_rotated_key_pauses_nothing(gateway: Gateway) -> None:
    make_domain(gateway)
    key_id, _ = make_api_key(gateway)
    hook_id = make_hook(gateway, "accepted", credential_id=key_id)
    with gateway.database.session() as session:
        credentials.rotate(session, COMMAND_LINE, session.get_one(ApiKeyRow, key_id), grace=timedelta(0))

    accept(gateway)

    assert queued(gateway) == [(hook_id, "accepted")]


def test_the_newest_come_first_whatever_their_kind(gateway: Gateway) -> None:
    domain_id = make_domain(gateway)
    message_id = enqueue(gateway)
    start = utcnow()
    names = [EventName.ACCEPTED, EventName.DEFERRED, EventName.DEFERRED, EventName.BOUNCED]
    with gateway.database.session() as session:
        for number, name in enumerate(names):
            one = events.Happened(name, domain_id, message_id, f"{number}@example.org")
            events.happened(session, [one], start + timedelta(seconds=number))
        assert [e["recipient"][0] for e in events.latest(session, domain_id, limit=3)] == ["3", "2", "1"]
        only = events.latest(session, domain_id, limit=3, names=["deferred"])
        assert [e["recipient"][0] for e in only] == ["2", "1"]


def test_samples_have_the_shape_of_events() -> None:
    for name in EventName:
        one = events.sample(name, domain="example.com", now=utcnow())
        assert (list(one), one["event"]) == (KEYS, name)


def test_a_deleted_domain_takes_its_hooks_along(gateway: Gateway) -> None:
    make_domain(gateway)
    hook_id = make_hook(gateway)
    with gateway.database.session() as session:
        domains.delete(session, COMMAND_LINE, session.query(Domain).one())

    with gateway.database.session() as session:
        hook = session.get_one(hooks.Hook, hook_id)
        assert hook.deleted_at is not None
        assert hook.secret == ""
