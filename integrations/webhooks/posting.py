"""One POST of one event, as Standard Webhooks say: signed, within ten seconds, to an address that may be called."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from standardwebhooks import Webhook

from webapp.core.models import utcnow
from webapp.core.rules.refusals import printable
from webapp.core.services.hook_queue import Posted, Posting
from webapp.net.targets import TargetRefused

#: A receiver may take so long in all: name, connection, TLS, request and the beginning of its answer. In seconds.
TIMEOUT = 10.0
#: Octets of an answer that are read, and characters of it that are kept.
ANSWER_READ, ANSWER_KEPT = 4096, 1000
#: A receiver that asks for more patience than this is asked again sooner.
LONGEST_WAIT = timedelta(days=1)
_NEVER_SHOWN = "webhook-signature"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back, or why nothing did."""

    status: int | None
    reason: str = ""
    text: str = ""
    retry_after: timedelta | None = None


async def post(client: httpx.AsyncClient, posting: Posting, secrets: Sequence[str]) -> Posted:
    """Post the event once. Never raises for what the receiver does."""
    assert posting.payload is not None
    started_at = utcnow()
    body = json.dumps(posting.payload)
    headers = signed_headers(posting.payload["id"], body, secrets, started_at)
    answer = await _answer(client, posting.target_url, body, headers)
    ok = answer.status is not None and 200 <= answer.status < 300
    return Posted(
        delivery_id=posting.delivery_id,
        hook_id=posting.hook_id,
        ok=ok,
        started_at=started_at,
        ended_at=utcnow(),
        request=_told(headers, body),
        status_code=answer.status,
        reason="" if ok else answer.reason,
        response=answer.text,
        gone=answer.status == 410,
        retry_after=answer.retry_after,
    )


def signed_headers(event_id: str, body: str, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """The request's headers. Each secret signs, the newest first: a receiver that knows either is content."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "Postlatch",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(event_id, now, body) for secret in secrets),
    }


async def _answer(client: httpx.AsyncClient, url: str, body: str, headers: Mapping[str, str]) -> _Answer:
    try:
        async with asyncio.timeout(TIMEOUT):
            request = client.build_request("POST", url, content=body, headers=headers)
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                text = await _beginning(response)
            finally:
                await response.aclose()
    except (TimeoutError, httpx.TimeoutException):
        return _Answer(None, f"It did not answer within {TIMEOUT:.0f} seconds.")
    except TargetRefused as refused:
        return _Answer(None, str(refused))
    except httpx.ConnectError as error:
        return _Answer(None, f"It can't be reached: {printable(error, 200)}.")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _Answer(None, f"The connection broke off: {printable(error or type(error).__name__, 200)}.")
    status = response.status_code
    return _Answer(status, _reason(response), text, _retry_after(response) if status in {429, 503} else None)


async def _beginning(response: httpx.Response) -> str:
    """The beginning of the answer, unpacked by nobody: a small answer can hide a large one."""
    octets = b""
    async for chunk in response.aiter_raw():
        octets += chunk
        if len(octets) >= ANSWER_READ:
            break
    text = octets[:ANSWER_READ].decode("utf-8", "replace").strip()
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)[:ANSWER_KEPT]


def _reason(response: httpx.Response) -> str:
    status = response.status_code
    if 300 <= status < 400:
        where = printable(response.headers.get("Location", "nowhere"), 200)
        return f"It answered {status}, a redirect to {where}. Redirects are not followed: give the final address."
    if status == 410:
        return "It answered 410: this webhook is not wanted any more."
    return f"It answered {status} {printable(response.reason_phrase, 60)}".rstrip() + "."


def _retry_after(response: httpx.Response) -> timedelta | None:
    """How long the receiver asks us to wait: seconds or a date (RFC 9110 section 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        wait = timedelta(seconds=int(text))
    else:
        try:
            when = parsedate_to_datetime(text)
        except (ValueError, TypeError):
            return None
        wait = (when if when.tzinfo else when.replace(tzinfo=UTC)) - utcnow()
    return min(max(wait, timedelta(seconds=1)), LONGEST_WAIT)


def _told(headers: Mapping[str, Any], body: str) -> str:
    """The request for the log. Its signature is left out, which proves who we are for five minutes."""
    shown = {name: "(left out)" if name == _NEVER_SHOWN else value for name, value in headers.items()}
    return "\n".join(f"{name}: {value}" for name, value in shown.items()) + f"\n\n{body}"
