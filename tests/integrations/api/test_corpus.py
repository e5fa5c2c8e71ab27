"""Bodies in all the ways that people and their tools send them: the mail that was meant, or a 422 with the field."""

from __future__ import annotations

import pytest

from webapp.core.models import Message, utcnow

from .conftest import Caller, parsed
from .corpus import CORPUS, Mail


def test_each_request_brings_the_mail_that_was_meant_or_names_the_field(
    caller: Caller, subtests: pytest.Subtests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrations.api.send.utcnow", lambda: utcnow().replace(2026, 11, 25))
    assert len(CORPUS) >= 60
    assert len({name for name, _, _, _ in CORPUS}) == len(CORPUS)
    for name, content_type, body, meant in CORPUS:
        with subtests.test(name=name):
            answer = caller.post(body.encode(), content_type)
            if isinstance(meant, str):
                assert (answer.status_code, answer.json["error"]["field"]) == (422, meant), answer.json
                continue
            assert answer.status_code == 202, answer.json
            assert found(caller, answer.json["id"], meant) == meant


def found(caller: Caller, message_id: str, meant: Mail) -> Mail:
    """What came of it, in the same terms."""
    with caller.gateway.database.session() as session:
        message = session.get_one(Message, message_id)
        recipients = tuple(delivery.recipient for delivery in message.deliveries)
        tag, metadata, scheduled = message.tag, message.details, message.send_at is not None
    mail = parsed(caller.get(f"/messages/{message_id}/source").data)
    body = mail.get_body()
    assert body is not None
    return Mail(
        to=recipients,
        sender=str(mail["From"]),
        subject=str(mail["Subject"]),
        text=body.get_content().strip(),
        headers={name: str(mail[name]) for name in meant.headers},
        metadata=metadata,
        tag=tag,
        files=tuple(str(part.get_filename()) for part in mail.iter_attachments()),
        scheduled=scheduled,
    )
