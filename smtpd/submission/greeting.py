"""The commands around mail: greeting, TLS, and those that change nothing."""

from __future__ import annotations

import re
import ssl

import structlog

from smtpd.submission.conversation import Conversation, Envelope, Session
from smtpd.submission.inbound import Disconnected
from webapp.core.rules.refusals import Reason, Refused

log = structlog.get_logger(__name__)

#: A name or address literal. Programs on desktops send host names that aren't quite names of the DNS.
_HELO = re.compile(r"[!-~]{1,255}\Z")


class GreetingCommands(Conversation):
    """EHLO, HELO, STARTTLS, NOOP, RSET, VRFY, EXPN, HELP, QUIT."""

    async def smtp_EHLO(self, argument: str) -> None:  # noqa: N802
        """RFC 5321 section 4.1.1.1: say what is offered."""
        self._greeted(argument, extended=True)
        offers = self.extensions()
        self.reply(f"250-{self.hostname}", *(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}")

    def extensions(self) -> list[str]:
        """What EHLO offers."""
        offers = [f"SIZE {self.most_octets}", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES"]
        return offers if self.tls else [*offers, "STARTTLS"]

    async def smtp_HELO(self, argument: str) -> None:  # noqa: N802
        """The greeting without extensions; nobody can log in after it."""
        self._greeted(argument, extended=False)
        self.reply(f"250 {self.hostname}")

    def _greeted(self, name: str, *, extended: bool) -> None:
        if not _HELO.match(name):
            raise Refused(Reason.BAD_ARGUMENTS, problem="give your host's name, in ASCII")
        if self.session.helo:
            self.count_junk()
        self.session.helo = name
        self.session.extended = extended
        self.envelope = Envelope()

    async def smtp_STARTTLS(self, argument: str) -> None:  # noqa: N802
        """RFC 3207. Whatever was said before TLS is forgotten; octets already sent after the command end it all."""
        if argument:
            raise Refused(Reason.BAD_ARGUMENTS, problem="STARTTLS takes none")
        if self.tls:
            raise Refused(Reason.BAD_SEQUENCE, problem="TLS is on already")
        await self.inbound.poll()
        self._check_nothing_follows()
        self.reply("220 2.0.0 Ready to start TLS")
        await self.flush()
        self._check_nothing_follows()
        await self._start_tls()

    def _check_nothing_follows(self) -> None:
        if self.inbound.pending:
            raise Refused(Reason.PROTOCOL, problem="nothing may follow STARTTLS in clear", cause="starttls_injection")

    async def _start_tls(self) -> None:
        # From here to the call there must be no `await`: what comes next belongs to TLS.
        try:
            transport = await self.loop.start_tls(
                self.transport,
                self,
                self.environment.certificate.context,
                server_side=True,
                ssl_handshake_timeout=self.limits.handshake,
                ssl_shutdown_timeout=self.limits.handshake,
            )
        except (OSError, ssl.SSLError) as error:
            log.info("tls_handshake_failed", ip=self.ip, error=type(error).__name__)
            # asyncio doesn't tell a protocol whose handshake failed that its connection is lost.
            self.connection_lost(None)
            raise Disconnected from None
        if transport is None:  # the client left with the handshake's end
            self.connection_lost(None)
            raise Disconnected
        self.transport = transport
        self.inbound.attach(transport)
        self.tls = True
        self.session = Session()
        self.envelope = Envelope()

    async def smtp_NOOP(self, argument: str) -> None:  # noqa: N802
        """RFC 5321 section 4.1.1.9; its argument means nothing."""
        self.count_junk()
        self.reply("250 2.0.0 Ok")

    async def smtp_RSET(self, argument: str) -> None:  # noqa: N802
        """Give up the mail transaction."""
        if argument:
            raise Refused(Reason.BAD_ARGUMENTS, problem="RSET takes none")
        self.count_junk()
        self.envelope = Envelope()
        self.reply("250 2.0.0 Ok")

    async def smtp_VRFY(self, argument: str) -> None:  # noqa: N802
        """Say the same of every address (RFC 5321 section 7.3)."""
        self.count_junk()
        if not argument:
            raise Refused(Reason.BAD_ARGUMENTS, problem="give an address")
        self.reply("252 2.5.2 Addresses are not verified: send the mail to find out")

    async def smtp_HELP(self, argument: str) -> None:  # noqa: N802
        """Say what this is."""
        self.count_junk()
        self.reply("214 2.0.0 Mail submission as in RFC 6409")

    async def smtp_EXPN(self, argument: str) -> None:  # noqa: N802
        """There are no lists."""
        raise Refused(Reason.NOT_OFFERED)

    async def smtp_QUIT(self, argument: str) -> None:  # noqa: N802
        """Say good-bye."""
        if argument:
            raise Refused(Reason.BAD_ARGUMENTS, problem="QUIT takes none")
        self.reply("221 2.0.0 Bye")
        self.hang_up()
