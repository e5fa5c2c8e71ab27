"""AUTH PLAIN and LOGIN (RFC 4954, RFC 4616), inside TLS only."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from smtpd.submission.conversation import Conversation
from smtpd.submission.limits import LONGEST_LINE
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Credential

_USERNAME, _PASSWORD = "VXNlcm5hbWU6", "UGFzc3dvcmQ6"  # "Username:" and "Password:"; some clients compare them


class _Login(NamedTuple):
    """What the client said; `identity` is whom it wants to act as."""

    identity: str
    username: str
    password: str


class AuthenticationCommands(Conversation):
    """AUTH."""

    async def smtp_AUTH(self, argument: str) -> None:  # noqa: N802
        """Let a user in. Nothing the client says here is logged, except the username of a refusal."""
        self._check_auth_may_come()
        mechanism, *responses = argument.split()[:3] or [""]
        if len(responses) > 1:
            raise Refused(Reason.BAD_ARGUMENTS, problem="AUTH takes a mechanism and one response")
        initial = responses[0] if responses else None
        match mechanism.upper():
            case "PLAIN":
                login = await self._plain(initial)
            case "LOGIN":
                login = await self._login(initial)
            case "":
                raise Refused(Reason.BAD_ARGUMENTS, problem="AUTH needs a mechanism")
            case _:
                raise Refused(Reason.AUTH_MECHANISM)
        try:
            self.session.credential = await self._authenticate_as(login)
        except Refused as refused:
            self.refuse(refused, name=login.username)
        else:
            self.reply("235 2.7.0 Logged in")

    def _check_auth_may_come(self) -> None:
        if not self.tls:
            raise Refused(Reason.AUTH_NEEDS_TLS)
        if not self.session.extended:
            raise Refused(Reason.BAD_SEQUENCE, problem="say EHLO first")
        if self.session.credential:
            raise Refused(Reason.BAD_SEQUENCE, problem="you are logged in already")
        if self.envelope.sender is not None:
            raise Refused(Reason.BAD_SEQUENCE, problem="a message has begun")

    async def _authenticate_as(self, login: _Login) -> Credential:
        if login.identity and login.identity.casefold() != login.username.casefold():
            raise Refused(Reason.AUTH_FAILED, cause="foreign_identity")
        if not login.username or not login.password:
            # Some programs send an empty password when none is set: no secret was tried, so none was wrong.
            raise Refused(Reason.AUTH_FAILED, cause="empty_credentials")
        return await self.environment.authenticate(login.username, login.password, self.peer)

    async def _plain(self, initial: str | None) -> _Login:
        response = await self._challenge("") if initial is None else _initial(initial)
        parts = response.split(b"\0")
        if len(parts) != 3:
            raise Refused(Reason.AUTH_MALFORMED, problem="PLAIN takes an identity, a username and a password")
        return _Login(*(_text(part) for part in parts))

    async def _login(self, initial: str | None) -> _Login:
        # A client that begins with an empty response ("=") has said no name yet.
        username = _initial(initial) if initial else b""
        username = username or await self._challenge(_USERNAME)
        return _Login("", _text(username), _text(await self._challenge(_PASSWORD)))

    async def _challenge(self, prompt: str) -> bytes:
        self.reply(f"334 {prompt}")
        response = await self.read_line(LONGEST_LINE)
        if response == b"*":
            raise Refused(Reason.AUTH_CANCELLED)
        return _decode(response)


def _initial(response: str) -> bytes:
    return b"" if response == "=" else _decode(response.encode())


def _decode(response: bytes) -> bytes:
    try:
        return base64.b64decode(response, validate=True)
    except binascii.Error:
        raise Refused(Reason.AUTH_MALFORMED, problem="it is not base64") from None


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise Refused(Reason.AUTH_MALFORMED, problem="it is not UTF-8") from None
