"""Limits at the HTTP door: requests a minute, and the ``RateLimit`` headers that tell callers what is left.

Requests are counted by Flask-Limiter: in Redis where one is set, else in each process for itself. Without its Redis a
process counts for itself too, and looks for it now and then: a lost counter never takes the API down.
The headers are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, cast

from flask import Blueprint, Flask, Response, g
from flask_limiter import Limiter, RateLimitExceeded
from redis.exceptions import RedisError

from integrations.api.access import credential, peer
from webapp.core.database import UNAVAILABLE
from webapp.core.rules.networks import lock_subject
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.services.gateway import Gateway
from webapp.core.services.preferences import Current

#: What a request waits for Redis at most, in seconds: beyond that it is counted here.
REDIS_SECONDS = 0.25
_MINUTE = 60


class Rate(NamedTuple):
    """One limit: `quota` in each window of so many seconds, of which `remaining` are left for `reset` seconds."""

    name: str
    quota: int
    window: int
    remaining: int
    reset: int


class Rates:
    """Limits the requests of one API. Register `guard_address` before the log-in, `guard_key` after it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        shared = gateway.settings.redis_url
        waits: Any = {"socket_connect_timeout": REDIS_SECONDS, "socket_timeout": REDIS_SECONDS}
        self._limiter = Limiter(
            self._address,
            storage_uri=shared.replace("unix://", "redis+unix://", 1) if shared else "memory://",
            storage_options=waits if shared else {},
            strategy="sliding-window-counter",
            swallow_errors=True,
            in_memory_fallback_enabled=True,
            key_prefix="postlatch",
        )

    def guard_address(self, blueprint: Blueprint) -> None:
        """Limit the requests from one address, with or without a key."""
        blueprint.record_once(lambda state: self._limiter.init_app(cast(Flask, state.app)))

        @self._limiter.shared_limit(self._limit(lambda current: current.requests_per_address), "address")
        def count_for_address() -> None: ...

        @blueprint.before_request
        def limit_address() -> None:
            self._count(count_for_address, "address", "from your address")

    def guard_key(self, blueprint: Blueprint) -> None:
        """Limit the requests with one key, and tell each caller what is left of the limits that hold for it."""

        @self._limiter.shared_limit(
            self._limit(lambda current: current.requests_per_key), "key", key_func=lambda: str(credential().id)
        )
        def count_for_key() -> None: ...

        @blueprint.before_request
        def limit_key() -> None:
            if "credential" in g:  # what is public asks for none
                self._count(count_for_key, "key", "with this key")

        @blueprint.after_request
        def tell(response: Response) -> Response:
            rates: list[Rate] = [*g.get("request_rates", ()), *self._sending()]
            if rates:
                response.headers["RateLimit-Policy"] = ", ".join(f'"{r.name}";q={r.quota};w={r.window}' for r in rates)
                response.headers["RateLimit"] = ", ".join(f'"{r.name}";r={r.remaining};t={r.reset}' for r in rates)
            return response

    def _address(self) -> str:
        return lock_subject(peer(self._gateway.settings).ip)

    def _limit(self, chosen: Callable[[Current], int | None]) -> Callable[[], str]:
        def provide() -> str:
            """As Flask-Limiter reads it; empty for none."""
            with suppress(*UNAVAILABLE):
                if limit := chosen(self._gateway.preferences.current()):
                    return f"{limit}/minute"
            return ""

        return provide

    def _count(self, count: Callable[[], None], name: str, whose: str) -> None:
        try:
            count()
        except RateLimitExceeded as exceeded:
            rate = self._note(name)
            limit = exceeded.limit.limit.amount if exceeded.limit else 0
            raise Refused(
                Reason.TOO_MANY_REQUESTS,
                retry_after=max(1, rate.reset) if rate else _MINUTE,
                cause=f"requests_per_{name}",
                trace={"requests_a_minute": limit},
                whose=whose,
                limit=limit,
            ) from None
        self._note(name)

    def _note(self, name: str) -> Rate | None:
        """Keep for the headers what the limit that was just counted says."""
        rate = None
        with suppress(RedisError):
            for one in self._limiter.current_limits:
                reset = min(_MINUTE, max(0, one.reset_at - int(time.time())))
                rate = Rate(f"requests-{name}", one.limit.amount, _MINUTE, max(0, one.remaining), reset)
                g.request_rates = [*g.get("request_rates", ()), rate]
        return rate

    def _sending(self) -> list[Rate]:
        """The limits on messages; none is told where the database doesn't answer, since the answer matters more."""
        if "credential" not in g:
            return []
        with suppress(*UNAVAILABLE):
            return [
                Rate(f"{one.owner}-{one.period.word}", one.limit, one.period.seconds, one.remaining, one.reset)
                for one in self._gateway.allowances(g.credential)
            ]
        return []
