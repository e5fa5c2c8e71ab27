"""One SMTP connection as a client: one mail transaction after the other (RFC 5321 section 3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

import aiosmtplib

from smtpd.delivery.transports.connect import Connected, Timeouts
from smtpd.delivery.transports.content import Content, dot_stuffed, headers_are_ascii
from smtpd.delivery.transports.replies import Answer, judge
from webapp.core.rules.statuses import Status
from webapp.core.services.deliveries import Claimed


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message and whom it is for. `recipients` maps any key of the caller's to an address."""

    sender: str
    recipients: Mapping[int, str]
    content: Content
    eight_bit: bool
    smtputf8: bool

    @classmethod
    def of(
        cls, message: Claimed, recipients: Mapping[int, str], content: Content, *, sender: str | None = None
    ) -> Envelope:
        """The claimed *message* for some of its recipients, from its own sender unless another is given."""
        sender = message.envelope_from if sender is None else sender
        return cls(sender, recipients, content, message.eight_bit, message.smtputf8)


class StaleConnectionError(Exception):
    """A connection used before was closed in the meantime. Nothing was sent: try another."""


class SmtpSession:
    """A connection that takes several messages. Not for concurrent use."""

    def __init__(self, connected: Connected, *, label: str, timeouts: Timeouts) -> None:
        self.label = label
        self.tls = connected.tls
        self.taken = 0  # messages so far
        self._handed_over = False  # whether all of the message is sent: the server may have taken it
        self._client = connected.client
        self._timeouts = timeouts

    @property
    def usable(self) -> bool:
        """Whether it can take another message."""
        return self._client.is_connected

    async def send(self, envelope: Envelope) -> dict[int, Answer]:
        """Send one message; every recipient gets an answer. Raise `StaleConnectionError` when it hadn't begun."""
        answers: dict[int, Answer] = {}
        reused, self.taken = self.taken > 0, self.taken + 1
        self._handed_over = False
        try:
            await self._transaction(envelope, answers, reused=reused)
        except aiosmtplib.SMTPTimeoutError:
            self._close_for_rest(envelope, answers, f"{self.label} did not answer in time.")
        except (aiosmtplib.SMTPException, OSError):
            self._close_for_rest(envelope, answers, f"{self.label} broke the connection.")
        except BaseException:
            self.close()  # in the middle of a message: nobody else may go on from here
            raise
        return answers

    async def quit(self) -> None:
        """Take leave, and close whatever the server answers."""
        try:
            if self.usable:
                await self._client.quit(timeout=2)
        except (aiosmtplib.SMTPException, OSError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close without a word."""
        self._client.close()

    def _close_for_rest(self, envelope: Envelope, answers: dict[int, Answer], reason: str) -> None:
        self.close()
        self._answer(envelope.recipients, answers, Answer(Status.DEFERRED, reason, elsewhere=not self._handed_over))

    @staticmethod
    def _answer(keys: Mapping[int, str], answers: dict[int, Answer], answer: Answer) -> None:
        """Give *answer* to those of *keys* that have none yet."""
        for key in keys:
            answers.setdefault(key, answer)

    async def _transaction(self, envelope: Envelope, answers: dict[int, Answer], *, reused: bool) -> None:
        octets = await self._fit(envelope, answers)
        waiting = {key: address for key, address in envelope.recipients.items() if key not in answers}
        if octets is None or not waiting:
            return
        code, text = await self._mail(envelope, octets, reused=reused)
        if code // 100 == 2:
            waiting = await self._recipients(waiting, answers)
            if not waiting:
                await self._reset()
                return
            code, text = await self._data(octets)
        else:
            await self._reset()
        answer = judge(code, text, by=self.label)
        not_up_to_it = answer.status == Status.DEFERRED and not self._handed_over
        self._answer(waiting, answers, replace(answer, elsewhere=not_up_to_it))

    async def _fit(self, envelope: Envelope, answers: dict[int, Answer]) -> bytes | None:
        """Adapt the message to what the server offers; answer for those for whom that can't be done."""
        if envelope.smtputf8 and not self._offers("smtputf8"):
            refusal = Answer(Status.BOUNCED, f"5.6.7 {self.label} takes no addresses or headers outside ASCII.", 553)
            plain = envelope.sender.isascii() and headers_are_ascii(envelope.content.source)
            barred = {k: a for k, a in envelope.recipients.items() if not (plain and a.isascii())}
            self._answer(barred, answers, refusal)
            if len(answers) == len(envelope.recipients):
                return None
        as_it_is = not envelope.eight_bit or self._offers("8bitmime")
        octets = await asyncio.to_thread(envelope.content.octets, eight_bit=as_it_is)
        if octets is None:
            refusal = Answer(Status.BOUNCED, f"5.6.3 {self.label} takes no 8-bit messages.", 554)
            self._answer(envelope.recipients, answers, refusal)
        elif len(octets) > (most := self._most_octets()):
            refusal = Answer(Status.BOUNCED, f"5.3.4 {self.label} takes no message over {most} octets.", 552)
            self._answer(envelope.recipients, answers, refusal)
        return octets

    def _most_octets(self) -> float:
        """The largest message that the server says it takes (RFC 1870); none said, and 0, is no limit."""
        said = self._client.esmtp_extensions.get("size", "")
        return int(said) if said.isascii() and said.isdigit() and int(said) else float("inf")

    def _offers(self, extension: str) -> bool:
        return self._client.supports_extension(extension)

    async def _mail(self, envelope: Envelope, octets: bytes, *, reused: bool) -> tuple[int, str]:
        options = []
        if self._offers("size"):
            options.append(f"SIZE={len(octets)}")
        if envelope.eight_bit and self._offers("8bitmime"):
            options.append("BODY=8BITMIME")
        if envelope.smtputf8 and self._offers("smtputf8"):
            options.append("SMTPUTF8")
        command = " ".join([f"FROM:<{envelope.sender}>", *options])
        try:
            code, text = await self._client.execute_command(b"MAIL", command.encode())
        except aiosmtplib.SMTPServerDisconnected:
            if reused:
                raise StaleConnectionError from None
            raise
        if code == 421 and reused:  # such as "too many messages on this connection"
            self.close()
            raise StaleConnectionError
        return code, text

    async def _recipients(self, waiting: Mapping[int, str], answers: dict[int, Answer]) -> dict[int, str]:
        """Name the recipients; return those that the server takes."""
        accepted = {}
        for key, address in waiting.items():
            code, text = await self._client.execute_command(b"RCPT", f"TO:<{address}>".encode())
            if code == 421:  # the server closes: nothing is settled for those it took before, either
                self._answer(waiting, answers, replace(judge(code, text, by=self.label), elsewhere=True))
                self.close()
                return {}
            if code // 100 == 2:
                accepted[key] = address
            else:
                answers[key] = judge(code, text, by=self.label)
        return accepted

    async def _data(self, octets: bytes) -> tuple[int, str]:
        stuffed = await asyncio.to_thread(dot_stuffed, octets)
        code, text = await self._client.execute_command(b"DATA", timeout=self._timeouts.data_start)
        if code != 354:
            await self._reset()
            return (code, text) if code // 100 in {4, 5} else (-1, f"to DATA: {code} {text}")
        self._handed_over = True
        code, text = await self._client.send_data(stuffed, block=self._timeouts.data_block, end=self._timeouts.data_end)
        if code == 421:
            self.close()
        return code, text

    async def _reset(self) -> None:
        """End a transaction that came to nothing (RFC 5321 section 4.1.1.5); without a connection it has ended."""
        try:
            if self.usable and (await self._client.execute_command(b"RSET"))[0] // 100 != 2:
                self.close()
        except (aiosmtplib.SMTPException, OSError):
            self.close()
