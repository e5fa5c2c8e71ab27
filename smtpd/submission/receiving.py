"""DATA, as far as it is the same for all mail that comes in (RFC 5321 section 4.1.1.4)."""

from __future__ import annotations

from smtpd.submission.content import Content
from smtpd.submission.conversation import Conversation
from smtpd.submission.inbound import Disconnected
from smtpd.submission.limits import Share
from webapp.core.rules.refusals import Reason, Refused


class Receiving(Conversation):
    """Takes a message off the wire."""

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
