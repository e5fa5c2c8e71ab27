"""The SMTP client: aiosmtplib's, with message data under flow control, and a conversation that can be listened to."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any, Literal

import aiosmtplib

#: Hears each line: who says it (``>`` us, ``<`` the server, ``-`` nobody, a remark), and the line.
Listener = Callable[[str, str], None]

#: What stands in a conversation instead of a secret.
BLACKED_OUT = "••••••••"
#: Octets that are written before the connection may say that it is full.
_BLOCK = 64 * 1024


class Client(aiosmtplib.SMTP):
    """One connection. What *listener* hears never holds a password."""

    def __init__(self, *, listener: Listener | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._listener = listener
        self._secrets: list[str] = []
        self._answers_challenge = False

    def keep_secret(self, *secrets: str) -> None:
        """Black these out in whatever the server says, too."""
        self._secrets = _forms(*secrets)

    def remark(self, text: str) -> None:
        """Let the listener hear what is no command."""
        self._hear("-", text)

    async def connect(self, **options: Any) -> aiosmtplib.SMTPResponse:
        """See `aiosmtplib.SMTP.connect`."""
        return self._heard(await super().connect(**options))

    async def execute_command(self, *args: bytes, **options: Any) -> aiosmtplib.SMTPResponse:
        """See `aiosmtplib.SMTP.execute_command`."""
        self._hear(">", self._spoken(args))
        response = await super().execute_command(*args, **options)
        self._answers_challenge = response.code == 334
        return self._heard(response)

    async def starttls(self, **options: Any) -> aiosmtplib.SMTPResponse:
        """See `aiosmtplib.SMTP.starttls`."""
        self._hear(">", "STARTTLS")
        return self._heard(await super().starttls(**options))

    async def send_data(self, stuffed: bytes, *, block: float, end: float) -> aiosmtplib.SMTPResponse:
        """Send *stuffed* after a 354 and return the answer, which may come before all is sent.

        The server may take *block* seconds for each block and *end* for its answer. Raise `SMTPTimeoutError`.
        """
        protocol = self.protocol
        if protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        self.remark(f"the message, {len(stuffed)} octets")
        answer = asyncio.ensure_future(protocol.read_response())
        await asyncio.sleep(0)  # from here on it listens
        try:
            for start in range(0, len(stuffed), _BLOCK):
                if answer.done():
                    break
                protocol.write(stuffed[start : start + _BLOCK])
                async with asyncio.timeout(block):
                    await protocol._drain_helper()
            async with asyncio.timeout(end):
                return self._heard(await answer)
        except TimeoutError as error:
            raise aiosmtplib.SMTPTimeoutError("Timed out while sending the message") from error
        except (ConnectionError, aiosmtplib.SMTPServerDisconnected):
            if answer.done() and not answer.exception():  # it had its say before it hung up
                return self._heard(answer.result())
            raise
        finally:
            answer.cancel()

    def _spoken(self, args: tuple[bytes, ...]) -> str:
        if self._answers_challenge:
            return BLACKED_OUT
        words = [arg.decode("utf-8", "replace") for arg in args]
        if words[0].upper() == "AUTH" and len(words) > 1:
            return " ".join(["AUTH", words[1].partition(" ")[0], BLACKED_OUT])
        return " ".join(words)

    def _heard(self, response: aiosmtplib.SMTPResponse) -> aiosmtplib.SMTPResponse:
        """Tell what the server said; a refusal that repeats a secret goes on without it."""
        if response.code >= 400:
            response = aiosmtplib.SMTPResponse(response.code, self._without_secrets(response.message))
        lines = response.message.split("\n")
        for number, line in enumerate(lines, 1):
            self._hear("<", f"{response.code}{'-' if number < len(lines) else ' '}{line}")
        return response

    def _hear(self, who: Literal["<", ">", "-"], line: str) -> None:
        if self._listener:
            self._listener(who, self._without_secrets(line))

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, BLACKED_OUT)
        return text


def _forms(*secrets: str) -> list[str]:
    """*secrets* as they may be seen: in clear and in base64, the longest first."""
    given = [secret for secret in secrets if secret]
    joined = [f"\0{given[0]}\0{given[1]}"] if len(given) == 2 else []
    encoded = [base64.b64encode(text.encode()).decode() for text in given + joined]
    return sorted({*given[1:], *encoded}, key=len, reverse=True)
