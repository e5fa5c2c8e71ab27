"""Stored mail for the panel's tests: submitted as a door does, and carried on as the worker does."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from tests.support.factories import make_domain, make_smtp_user, source, submission
from webapp.core.models import CredentialRow, utcnow
from webapp.core.rules.statuses import Status
from webapp.core.rules.submission import Credential
from webapp.core.services.deliveries import claim
from webapp.core.services.gateway import Gateway
from webapp.core.services.outcomes import Attempt, Outcome, RetryPolicy, record

POLICY = RetryPolicy(first=timedelta(minutes=1), max_age=timedelta(days=5), random=lambda: 0.5)


def credential(gateway: Gateway, domain: str = "example.com") -> Credential:
    """An SMTP user of *domain*, made with it when they are not there yet."""
    name = f"printer@{domain}"
    query = select(CredentialRow).where(CredentialRow.name == name)
    with gateway.database.session() as session:
        row = session.scalar(query)
    if row is None:
        make_domain(gateway, domain, vouch=True)
        make_smtp_user(gateway, name, domain=domain)
        with gateway.database.session() as session:
            row = session.scalars(query).one()
    return Credential("smtp_user", row.id, row.name, row.domain_id, domain, 1)


def send(gateway: Gateway, *recipients: str, domain: str = "example.com", **values: Any) -> str:
    """Submit a message as an SMTP user of *domain* does; return its id. Keyword arguments are the submission's."""
    values.setdefault("source", source(f"shop@{domain}"))
    values.setdefault("envelope_from", f"shop@{domain}")
    sent = submission(credential(gateway, domain), recipients=recipients or ("ann@example.org",), **values)
    return gateway.submit(sent).result(10).id


def mail(content_type: str, body: bytes, subject: str = "Your order") -> bytes:
    """A message from the shop whose one part is *body*."""
    head = (
        f"From: Shop <shop@example.com>\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: {content_type}\r\n"
    )
    return head.encode() + b"\r\n" + body + b"\r\n"


def settle(gateway: Gateway, **answers: tuple[Status, int, str]) -> None:
    """Try what is due: each recipient, by the name before the ``@``, meets with its answer, or is delivered."""
    with gateway.database.session() as session:
        outcomes = [
            Outcome(
                delivery_id,
                *_reversed(answers.get(address.partition("@")[0], (Status.DELIVERED, 250, "2.0.0 Ok"))),
                attempt=Attempt("relay", utcnow(), utcnow(), "relay.example:587", "TLSv1.3"),
            )
            for claimed in claim(session, lease="test", now=utcnow(), limit=1000, fresh=True)
            for delivery_id, address in claimed.recipients.items()
        ]
        record(session, outcomes, lease="test", policy=POLICY, now=utcnow())


def _reversed(answer: tuple[Status, int, str]) -> tuple[Status, str, int]:
    status, code, reason = answer
    return status, reason, code


def rows(page: str) -> list[str]:
    """The text of each row of the page's first list."""
    found = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [
        re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row.replace("<wbr>", ""))).strip() for row in found if "<td" in row
    ]
