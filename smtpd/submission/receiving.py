"""MAIL, RCPT and DATA, as far as they are the same for all mail that comes in (RFC 5321 section 3.3)."""

from __future__ import annotations

from smtpd.submission.content import Content
from smtpd.submission.conversation import Conversation
from smtpd.submission.inbound import Disconnected
from smtpd.submission.limits import Share
from smtpd.submission.paths import mail_parameters, parse_path
from webapp.core.rules.refusals import Reason, Refused


class Receiving(Conversation):
    """Reads a transaction's commands, and takes its message off the wire."""

    def read_sender(self, argument: str) -> tuple[str, bool]:
        """MAIL's address, and whether it announces SMTPUTF8. Raise `Refused`, also for a message known too large."""
        if self.envelope.sender is not None:
            raise Refused(Reason.BAD_SEQUENCE, problem="a message has begun already")
        path = parse_path("FROM", argument, invalid=Reason.SENDER_INVALID)
        said = mail_parameters(path.parameters, esmtp=self.session.extended)
        if not said.smtputf8 and not path.address.isascii():
            raise Refused(Reason.NEEDS_SMTPUTF8)
        if said.size is not None and said.size > self.most_octets:
            raise self.too_large()
        return path.address, said.smtputf8

    def read_recipient(self, argument: str) -> str:
        """RCPT's address, as it was written. Raise `Refused`."""
        if self.envelope.sender is None:
            raise Refused(Reason.BAD_SEQUENCE, problem="MAIL comes first")
        path = parse_path("TO", argument, invalid=Reason.RECIPIENT_INVALID)
        for name in path.parameters:
            raise Refused(Reason.PARAMETER_UNKNOWN, parameter=name)
        return path.address

    async def check_data(self, argument: str) -> None:
        """Refuse a DATA command with which something is wrong whatever came before it."""
        # A message that doesn't wait for 354 would be taken for commands if we refused: even then it ends here.
        await self.inbound.poll()
        if self.inbound.pending:
            raise Refused(Reason.PROTOCOL, problem="wait for 354 before the message", cause="early_message")
        if argument:
            raise Refused(Reason.BAD_ARGUMENTS, problem="DATA takes none")

    async def invite(self) -> None:
        """Ask for the message."""
        self.reply("354 End data with <CR><LF>.<CR><LF>")
        await self.flush()

    async def receive(self, share: Share, content: Content) -> None:
        """Feed *content* until the message ends. Raise `Idle`, `Interrupted`, `Disconnected`.

        What is kept of it is taken from *share*; when that has no more, nothing is.
        """
        started = self.loop.time()
        while True:
            block = self.inbound.take_block()
            if content.kept and not share.take(len(block)):
                content.drop()
            rest = content.feed(block)
            if rest is not None:
                self.inbound.put_back(rest)
                return
            if content.received > 2 * self.most_octets:
                self.refuse(self.too_large())
                self.hang_up()
                raise Disconnected
            now = self.loop.time()
            slowest = started + self.limits.data + content.received / self.limits.data_rate
            await self.inbound.wait(min(now + self.limits.idle, slowest), within_message=True)

    def too_large(self) -> Refused:
        """The refusal of a message above `most_octets`."""
        return Refused(Reason.TOO_LARGE, limit_mb=self.most_octets // (1024 * 1024))
