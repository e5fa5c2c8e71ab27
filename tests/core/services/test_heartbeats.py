"""Signs of life."""

from __future__ import annotations

from datetime import timedelta

from webapp.core.models import utcnow
from webapp.core.services.gateway import Gateway
from webapp.core.services.heartbeats import SILENCE, alive, beat


def test_a_process_is_alive_until_it_was_silent_for_too_long(gateway: Gateway) -> None:
    now = utcnow()
    with gateway.database.session() as session:
        assert alive(session, now) == {}
        beat(session, "worker", now - timedelta(minutes=5))
        beat(session, "submission", now)
        assert alive(session, now) == {"worker": False, "submission": True}
        beat(session, "worker", now)
        assert alive(session, now + SILENCE) == {"worker": True, "submission": True}
        assert alive(session, now + SILENCE + timedelta(seconds=1)) == {"worker": False, "submission": False}
