"""*Send test*: one message through a relay, and the conversation as it goes, for the page that asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Any

from sqlalchemy import select

from smtpd.delivery.transports.connect import Endpoint, Timeouts, UnreachableError, connect
from smtpd.delivery.transports.content import Content
from smtpd.delivery.transports.session import Envelope, SmtpSession
from webapp.core.models import Domain, utcnow
from webapp.core.rules.relay import RelayTarget
from webapp.core.rules.statuses import Status
from webapp.core.services.gateway import Gateway
from webapp.core.services.tasks import Handler, Run, TaskError

#: Somebody looks on: what takes longer is a finding, too. In seconds.
TIMEOUTS = Timeouts(connect=10, greeting=20, command=20, data_start=20, data_block=20, data_end=30)
NO_RELAY = "There is no relay to test: save one first."
NO_DOMAIN = "There is no sending domain whose mail may leave: add one, and prove or vouch for it."
#: How often the page hears what is new, in seconds.
TELL_SECONDS = 0.3


def relay_test_handler(gateway: Gateway) -> Handler:
    """Does tasks with the args ``{"to": address, "domain_id": id}``; without an id the relay for all mail is tested."""

    def handle(run: Run) -> Mapping[str, Any]:
        target, sender_domain = _what(gateway, run.args["domain_id"])
        return asyncio.run(_Test(gateway.settings.hostname, target, sender_domain, run).run())

    return handle


def _what(gateway: Gateway, domain_id: int | None) -> tuple[RelayTarget, str]:
    """The relay, and the domain that the test is sent from. Raise `TaskError`."""
    with gateway.database.session() as session:
        current = gateway.preferences.read(session)
        target = current.relay if domain_id is None else current.domain_relays.get(domain_id)
        if target is None:
            raise TaskError(NO_RELAY)
        found = select(Domain).where(Domain.deleted_at.is_(None)).order_by(Domain.id)
        if domain_id is not None:
            found = found.where(Domain.id == domain_id)
        name = next((domain.name for domain in session.scalars(found) if domain.may_send), None)
    if name is None:
        raise TaskError(NO_DOMAIN)
    return target, name


class _Test:
    """One test. Its result is ``{"relay", "from", "to", "lines", "verdict", "reason", "tls"}``.

    ``lines`` are pairs: who speaks (see `client.Listener`) and what. ``verdict`` is a delivery's status, or None yet.
    """

    def __init__(self, hostname: str, target: RelayTarget, domain: str, run: Run) -> None:
        self._hostname = hostname
        self._target = target
        self._run = run
        self._news = False
        self._result: dict[str, Any] = {
            "relay": target.label,
            "from": f"postmaster@{domain}",
            "to": run.args["to"],
            "lines": [],
            "verdict": None,
            "reason": None,
            "tls": None,
        }

    async def run(self) -> Mapping[str, Any]:
        telling = asyncio.create_task(self._tell())
        try:
            await self._send()
        finally:
            telling.cancel()
        return self._result

    async def _send(self) -> None:
        self._hear("-", f"connecting to {self._target.label}")
        endpoint = Endpoint.of(self._target)
        try:
            connected = await connect(endpoint, hostname=self._hostname, timeouts=TIMEOUTS, listener=self._hear)
        except UnreachableError as error:
            self._result |= {"verdict": Status.FAILED.value, "reason": error.reason}
            return
        self._result["tls"] = connected.tls
        session = SmtpSession(connected, label=endpoint.label, timeouts=TIMEOUTS)
        source = _message(self._result["from"], self._result["to"], self._hostname, self._target.label)
        recipients = {0: str(self._result["to"])}
        answers = await session.send(Envelope(self._result["from"], recipients, Content(source), False, False))
        await session.quit()
        self._result |= {"verdict": answers[0].status.value, "reason": answers[0].reason}

    def _hear(self, who: str, line: str) -> None:
        self._result["lines"].append([who, line])
        self._news = True

    async def _tell(self) -> None:
        while True:
            if self._news:
                self._news = False
                await asyncio.to_thread(self._run.tell, dict(self._result, lines=list(self._result["lines"])))
            await asyncio.sleep(TELL_SECONDS)


def _message(sender: str, to: str, hostname: str, relay: str) -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"] = f"Postlatch <{sender}>"
    message["To"] = to
    message["Subject"] = "Postlatch relay test"
    message["Date"] = format_datetime(utcnow())
    message["Message-ID"] = make_msgid(domain=hostname)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(f"This message went through the relay {relay}.\nIf you read it, the relay works.\n")
    return message.as_bytes()
