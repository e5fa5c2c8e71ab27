"""The mail transaction: MAIL, RCPT, DATA (RFC 5321 section 3.3)."""

from __future__ import annotations

import asyncio

from smtpd.submission.content import Content
from smtpd.submission.conversation import Envelope
from smtpd.submission.limits import Share
from smtpd.submission.receiving import Receiving
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Accepted, Credential, Submission

#: From this size on, in octets, judging a message takes long enough to be done off the event loop.
_LARGE = 256 * 1024


class TransactionCommands(Receiving):
    """MAIL, RCPT, DATA."""

    async def smtp_MAIL(self, argument: str) -> None:  # noqa: N802
        """Begin a message."""
        credential = self.session.credential
        if credential is None:
            raise Refused(Reason.AUTH_REQUIRED)
        sender, smtputf8 = self.read_sender(argument)
        most = await self.environment.call(self.environment.gateway.check_sender, credential, sender)
        self.envelope = Envelope(sender=sender, smtputf8=smtputf8, most_recipients=most)
        self.reply("250 2.1.0 Sender ok")

    async def smtp_RCPT(self, argument: str) -> None:  # noqa: N802
        """Add a recipient. Those beyond the limit are refused one by one; the ones before them stay."""
        address = self.read_recipient(argument)
        recipient = self.environment.gateway.check_recipient(address, smtputf8=self.envelope.smtputf8)
        limit = self.envelope.most_recipients
        if len(self.envelope.recipients) >= limit:
            # RFC 5321 section 4.5.3.1.10: the client sends the rest in another message. That is no error of its.
            self.envelope.overshoot += 1
            counts = self.envelope.overshoot > self.limits.overshoot
            self.refuse(Refused(Reason.TOO_MANY_RECIPIENTS, limit=limit), counts=counts)
            return
        self.envelope.recipients.append(recipient)
        self.reply("250 2.1.5 Recipient ok")

    async def smtp_DATA(self, argument: str) -> None:  # noqa: N802
        """Take the message and store it. 250 means that it is on disk."""
        credential = self.session.credential
        await self.check_data(argument)
        if credential is None or self.envelope.sender is None:
            raise Refused(Reason.BAD_SEQUENCE, problem="MAIL comes first")
        if not self.envelope.recipients:
            raise Refused(Reason.NO_RECIPIENTS)
        await self.invite()
        try:
            accepted = await self._receive_and_submit(credential)
        finally:
            self.envelope = Envelope()
        self.forgive()
        self.reply(f"250 2.0.0 Accepted as {accepted.id}")

    async def _receive_and_submit(self, credential: Credential) -> Accepted:
        with Share(self.environment.budget) as share:
            source = await self._receive(share)
            return await self._submit(credential, source)

    async def _receive(self, share: Share) -> bytes:
        """The message's octets. Raise `Refused`, `Idle`, `Interrupted`, `Disconnected`."""
        content = Content(self.most_octets)
        await self.receive(share, content)
        source = content.source()
        if source is None:
            raise Refused(Reason.STORAGE, cause="memory_full") if share.exhausted else self.too_large()
        return source

    async def _submit(self, credential: Credential, source: bytes) -> Accepted:
        submission = Submission(
            credential=credential,
            peer=self.peer,
            envelope_from=self.envelope.sender or "",
            recipients=tuple(self.envelope.recipients),
            source=source,
            smtputf8=self.envelope.smtputf8,
        )
        gateway = self.environment.gateway
        if len(source) > _LARGE:
            future = await self.environment.call(gateway.submit, submission)
        else:
            future = gateway.submit(submission)
        # Shielded: a conversation that ends must not cancel what others' messages are stored together with.
        return await asyncio.shield(asyncio.wrap_future(future))
