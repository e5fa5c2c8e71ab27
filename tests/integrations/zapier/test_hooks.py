"""The Zapier app's triggers: subscribed, told of events, which go through `perform`, and unsubscribed."""

from __future__ import annotations

import json

import pytest

from integrations.webhooks import webhooks_job
from tests.support.hook_receiver import HookReceiver
from tests.support.queue import running, until
from webapp.core.models import Hook

from .conftest import Core, Live

SEND = "creates.send_email.operation.perform"
MAIL = {"from": "shop@example.com", "to": ["ann@example.org"], "subject": "Your order", "text": "It is on its way."}
ON = "triggers.email_event.operation"

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def hooks(live: Live) -> list[Hook]:
    with live.gateway.database.session() as session:
        return session.query(Hook).filter(Hook.deleted_at.is_(None)).all()


def test_a_zap_s_whole_life(core: Core, live: Live) -> None:
    with HookReceiver() as zapier, running(webhooks_job(live.gateway)):
        zap = {"authData": live.auth, "targetUrl": zapier.url, "inputData": {"events": ["accepted", "bounced"]}}
        subscribed = core.call(f"{ON}.performSubscribe", **zap)
        assert core.call(f"{ON}.performSubscribe", **zap)["id"] == subscribed["id"]
        assert set(hooks(live)[0].events) == {"accepted", "bounced"}

        sent = core.call(SEND, authData=live.auth, inputData=MAIL)
        until(lambda: zapier.received)
        event = zapier.received[0].verified(subscribed["secret"])
        (came,) = core.call(f"{ON}.perform", authData=live.auth, cleanedRequest=event)
        assert (came["event"], came["message_id"], came["recipient"]) == ("accepted", sent["id"], "ann@example.org")

        listed = core.call(f"{ON}.performList", **zap)
        assert listed == [json.loads(zapier.received[0].body)], "what a test shows is what a live Zap gets"
        sample = core.call("?triggers.email_event.operation.sample")
        assert list(sample) == list(event)

        core.call(f"{ON}.performUnsubscribe", **zap, subscribeData=subscribed)
        core.call(f"{ON}.performUnsubscribe", **zap, subscribeData=subscribed)
        assert hooks(live) == []


def test_lock_outs(core: Core, live: Live) -> None:
    zap = {"authData": live.auth, "targetUrl": "http://127.0.0.1:9/hook", "inputData": {}}
    subscribed = core.call("triggers.credential_locked.operation.performSubscribe", **zap)
    assert hooks(live)[0].events == ["credential_locked"]
    assert core.call("triggers.credential_locked.operation.performList", **zap) == []
    core.call("triggers.credential_locked.operation.performUnsubscribe", **zap, subscribeData=subscribed)
    assert hooks(live) == []
