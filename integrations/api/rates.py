"""Limits as clients read them: the ``RateLimit`` headers (draft-ietf-httpapi-ratelimit-headers-10)."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from flask import Blueprint, Response, g

from webapp.core.database import UNAVAILABLE
from webapp.core.services.gateway import Gateway


class Rate(NamedTuple):
    """One limit: `quota` in each window of so many seconds, of which `remaining` are left for `reset` seconds."""

    name: str
    quota: int
    window: int
    remaining: int
    reset: int


def register(blueprint: Blueprint, gateway: Gateway) -> None:
    """Tell each caller what is left of the limits that hold for its key."""

    @blueprint.after_request
    def tell(response: Response) -> Response:
        rates: list[Rate] = []
        if "credential" in g:
            with suppress(*UNAVAILABLE):  # the answer itself matters more
                rates += [
                    Rate(f"{one.owner}-{one.period.word}", one.limit, one.period.seconds, one.remaining, one.reset)
                    for one in gateway.allowances(g.credential)
                ]
        if rates:
            response.headers["RateLimit-Policy"] = ", ".join(f'"{r.name}";q={r.quota};w={r.window}' for r in rates)
            response.headers["RateLimit"] = ", ".join(f'"{r.name}";r={r.remaining};t={r.reset}' for r in rates)
        return response
