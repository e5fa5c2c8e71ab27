"""One connection of a server that returns mail. Nobody logs in here, and nothing is passed on."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Protocol

import structlog

from smtpd.bounces.head import Head
from smtpd.submission.conversation import Envelope
from smtpd.submission.environment import Environment
from smtpd.submission.greeting import GreetingCommands
from smtpd.submission.limits import Share
from smtpd.submission.receiving import Receiving
from webapp.core.rules.delivery_report import Report, read_report
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.services.return_paths import ReturnPath, ReturnPaths

log = structlog.get_logger(__name__)

#: Octets of a message that are kept and looked at.
KEPT = 512 * 1024
#: A message that comes back may be as large as one that left, with the report around it.
_AROUND = 1024 * 1024
#: What every server has to take (RFC 5321 section 4.5.3.1.8).
MOST_RECIPIENTS = 100


class ReportGateway(Protocol):
    """What this door calls: a part of `webapp.core.services.gateway.Gateway`, which says what each raises."""

    def take_report(self, path: ReturnPath, report: Report) -> Future[int]: ...


class BounceProtocol(GreetingCommands, Receiving):
    """The server's side of a connection on which reports come in."""

    def __init__(
        self,
        environment: Environment,
        ip: str,
        *,
        gateway: ReportGateway,
        return_paths: ReturnPaths,
        tls: bool,
        crowded: bool,
    ) -> None:
        super().__init__(environment, ip, tls=tls, crowded=crowded)
        self._gateway = gateway
        self._return_paths = return_paths

    @property
    def most_octets(self) -> int:
        """The largest message that is taken."""
        return self.environment.settings.max_message_bytes + _AROUND

    async def check_client(self) -> None:
        """Blocklists aren't asked: whoever took our mail may tell us what became of it."""
        await self.environment.call(self.environment.gateway.admit, self.peer)

    async def smtp_MAIL(self, argument: str) -> None:  # noqa: N802
        """Begin a message, from anybody: the null sender in a report, as it should be."""
        sender, smtputf8 = self.read_sender(argument)
        self.envelope = Envelope(sender=sender, smtputf8=smtputf8, most_recipients=MOST_RECIPIENTS)
        self.reply("250 2.1.0 Sender ok")

    async def smtp_RCPT(self, argument: str) -> None:  # noqa: N802
        """Take a return address of ours, and no other."""
        address = self.read_recipient(argument)
        if self._return_paths.read(address) is None:
            raise Refused(Reason.RETURN_ADDRESS_UNKNOWN, address=address)
        if len(self.envelope.recipients) >= MOST_RECIPIENTS:
            raise Refused(Reason.TOO_MANY_RECIPIENTS, limit=MOST_RECIPIENTS)
        self.envelope.recipients.append(address)
        self.reply("250 2.1.5 Recipient ok")

    async def smtp_DATA(self, argument: str) -> None:  # noqa: N802
        """Take the message. 250 means that what it reports is on disk; what is no report is dropped."""
        await self.check_data(argument)
        if self.envelope.sender is None:
            raise Refused(Reason.BAD_SEQUENCE, problem="MAIL comes first")
        if not self.envelope.recipients:
            raise Refused(Reason.NO_RECIPIENTS)
        await self.invite()
        try:
            report = await self._receive_report()
            changed = await self._record(report) if report else 0
            log.info("returned_mail", ip=self.ip, report=report is not None, bounced=changed)
        finally:
            self.envelope = Envelope()
        self.reply("250 2.0.0 Taken")

    async def _receive_report(self) -> Report | None:
        with Share(self.environment.budget) as share:
            head = Head(KEPT)
            await self.receive(share, head)
            if share.exhausted:
                raise Refused(Reason.STORAGE, cause="memory_full")
            return await self.environment.call(read_report, head.source())

    async def _record(self, report: Report) -> int:
        """Return how many deliveries bounced."""
        paths = {path for address in self.envelope.recipients if (path := self._return_paths.read(address))}
        futures = [asyncio.wrap_future(self._gateway.take_report(path, report)) for path in paths]
        # Shielded: a conversation that ends must not cancel what is stored together with it.
        return sum(await asyncio.shield(asyncio.gather(*futures)))

    async def smtp_AUTH(self, argument: str) -> None:  # noqa: N802
        """Nobody has a log-in here."""
        raise Refused(Reason.NOT_OFFERED)

    async def smtp_HELP(self, argument: str) -> None:  # noqa: N802
        """Say what this is."""
        self.count_junk()
        self.reply("214 2.0.0 Reports on mail that this server sent, as in RFC 3464")
