"""What the transport's tests share: a sender that keeps what was reported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from smtpd.delivery.transports.base import Parcel
from smtpd.delivery.transports.connect import Timeouts
from smtpd.delivery.transports.content import Content
from smtpd.delivery.transports.relay import RelayTransport
from tests.support.smtp_sink import SmtpSink
from webapp.core.rules.relay import RelayTarget
from webapp.core.services.deliveries import Claimed
from webapp.core.services.outcomes import Outcome

SOURCE = b"From: shop@example.com\r\nSubject: x\r\n\r\n.one\r\n..two\r\n.\r\nthree\r\n"
QUICK = Timeouts(connect=0.5, greeting=0.5, command=0.5, data_start=0.5, data_block=0.5, data_end=0.5)


def target(sink: SmtpSink, scheme: str = "smtp", login: str = "") -> RelayTarget:
    return RelayTarget.parse(f"{scheme}://{login}127.0.0.1:{sink.port}")


class Office:
    """Sends through one transport, and keeps what it reported, by recipient."""

    def __init__(self, transport: RelayTransport) -> None:
        self.transport = transport
        self.outcomes: dict[str, Outcome] = {}
        self.ours = True

    async def send(
        self,
        *recipients: str,
        fresh: bool = True,
        source: bytes = SOURCE,
        sender: str = "shop@example.com",
        **flags: bool,
    ) -> None:
        to = dict(enumerate(recipients or ("ann@example.org",)))
        message = Claimed(
            message_id="m",
            domain_id=1,
            envelope_from="shop@example.com",
            captured=False,
            size=len(source),
            eight_bit=flags.get("eight_bit", False),
            smtputf8=flags.get("smtputf8", False),
            recipients=to,
        )

        async def load() -> Content:
            return Content(source)

        async def report(outcomes: Sequence[Outcome]) -> None:
            for outcome in outcomes:
                assert to[outcome.delivery_id] not in self.outcomes, "reported twice"
                self.outcomes[to[outcome.delivery_id]] = outcome

        await self.transport.deliver(Parcel(message, fresh, load, lambda _ids: self.ours), report)

    def result(self, recipient: str = "ann@example.org") -> tuple[str, int | None, str | None]:
        outcome = self.outcomes[recipient]
        return str(outcome.status), outcome.smtp_code, outcome.reason


def use(relay: RelayTarget, script: Callable[[Office], Any], **options: Any) -> Office:
    """Run *script* with a transport to *relay*, and close that."""

    async def main() -> Office:
        office = Office(RelayTransport(relay, hostname="mail.postlatch.test", **options))
        try:
            await script(office)
        finally:
            await office.transport.close()
        return office

    return asyncio.run(main())


def send(relay: RelayTarget, *recipients: str, timeouts: Timeouts = QUICK, **values: Any) -> Office:
    return use(relay, lambda office: office.send(*recipients, **values), timeouts=timeouts)
