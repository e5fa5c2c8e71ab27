"""One conversation: taking commands, refusing in one way, counting what is too much."""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass, field

import structlog

from smtpd.submission.blocklists import check_blocklists
from smtpd.submission.connection import Connection
from smtpd.submission.environment import Environment
from smtpd.submission.inbound import BareLineFeed, Disconnected, Idle, Interrupted, LineTooLong
from smtpd.submission.limits import COMMAND_LENGTH, LONGER_COMMANDS, LONGEST_LINE
from webapp.core.rules.refusals import Reason, Refused
from webapp.core.rules.submission import Credential, Peer

log = structlog.get_logger(__name__)

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
#: Commands whose addresses may be outside ASCII (RFC 6531 section 3.3).
_UTF8_COMMANDS = frozenset({"MAIL", "RCPT", "VRFY"})
#: First words of other protocols: browsers tricked into speaking to us, load balancers that aren't expected.
_FOREIGN = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI", "PROXY"})
_NOT_OFFERED = frozenset({"BDAT", "ETRN", "EXPN", "TURN", "ATRN", "SEND", "SOML", "SAML", "BURL"})
_FAILED_AUTH = frozenset({Reason.AUTH_FAILED, Reason.CREDENTIAL_LOCKED})


@dataclass(slots=True)
class Session:
    """What is known of the client; lost when TLS begins (RFC 3207 section 4.2)."""

    helo: str = ""
    extended: bool = False
    credential: Credential | None = None


@dataclass(slots=True)
class Envelope:
    """The mail transaction that is going on, if `sender` is set."""

    sender: str | None = None
    smtputf8: bool = False
    recipients: list[str] = field(default_factory=list)
    most_recipients: int = 0
    overshoot: int = 0


class Conversation(Connection):
    """What all commands share."""

    def __init__(self, environment: Environment, ip: str, *, tls: bool, crowded: bool) -> None:
        super().__init__(environment, ip, tls=tls)
        self.session = Session()
        self.envelope = Envelope()
        self._crowded = crowded
        self._turned_away: Refused | None = None  # with what, instead of a banner
        self._errors = 0
        self._failed_auths = 0
        self._junk_commands = 0

    @property
    def peer(self) -> Peer:
        """The client as the rules see it, with the protocol's name of RFC 3848 and RFC 6531 section 4.3."""
        protocol = "SMTP"
        if self.session.extended:
            protocol = "UTF8SMTP" if self.envelope.smtputf8 else "ESMTP"
            protocol += ("S" if self.tls else "") + ("A" if self.session.credential else "")
        return Peer("smtp", self.ip, self.session.helo, protocol)

    @property
    def most_octets(self) -> int:
        """The largest message that is taken."""
        return self.environment.settings.max_message_bytes

    def refuse(self, refused: Refused, *, counts: bool = True, name: str | None = None) -> None:
        """Answer with a refusal, note it, and end the conversation when it is one too many. The one way to refuse.

        With *counts* it is one of the connection's errors. *name* is the username as typed.
        """
        if refused.reference != (self._turned_away and self._turned_away.reference):
            self._note(refused, name)
        self._errors += counts
        self._failed_auths += refused.reason in _FAILED_AUTH
        ends = refused.reason.answer.smtp_code == 421 or refused.reason is Reason.PROTOCOL
        most = self.limits.parting_errors if self._turned_away else self.limits.errors
        too_many = self._errors > most or self._failed_auths > self.limits.failed_auths
        if too_many and not ends:
            ends, refused = True, Refused(Reason.TOO_MANY_ERRORS)
            self._note(refused, name)
        self.reply(refused.smtp_reply)
        if ends:
            self.hang_up()

    def _note(self, refused: Refused, name: str | None) -> None:
        self.environment.gateway.refuse(refused, self.peer, credential=self.session.credential, name=name)

    def count_junk(self) -> None:
        """Count a command that brings no mail nearer. Raise ``Refused(TOO_MANY_ERRORS)`` when there are too many."""
        self._junk_commands += 1
        if self._junk_commands > self.limits.junk_commands:
            raise Refused(Reason.TOO_MANY_ERRORS, cause="too_many_junk_commands")

    def forgive(self) -> None:
        """Forget errors and junk: a client whose mail is accepted may keep its connection as long as it likes."""
        self._errors = self._junk_commands = 0

    async def _handle_client(self) -> None:
        try:
            await self._greet()
            while not self.hung_up:
                await self._next_command()
        except Disconnected:
            if not self.hung_up:
                self.abort()
        except Exception as error:
            self._report(error)
            self.abort()

    async def _greet(self) -> None:
        refused = await self._admission()
        await self.inbound.poll()
        if refused is None and self.inbound.pending:
            refused = Refused(Reason.PROTOCOL, problem="wait for the greeting before you speak", cause="early_talker")
        if refused:
            self._turn_away(refused)
        else:
            self.reply(f"220 {self.hostname} ESMTP Postlatch")

    def _turn_away(self, refused: Refused) -> None:
        """Refuse the connection itself; only QUIT is left (RFC 5321 section 3.1), for a few and a short time."""
        self.refuse(refused)
        self._turned_away = refused
        if self.environment.turned_away >= self.limits.turned_away:
            self.hang_up()
        else:
            self.ends_at = self.loop.time() + self.limits.parting
            self.environment.turned_away += 1
            self._ended.add_done_callback(self._leave)

    def _leave(self, _: object) -> None:
        self.environment.turned_away -= 1

    async def _admission(self) -> Refused | None:
        if self._crowded:
            return Refused(Reason.TOO_MANY_CONNECTIONS)
        try:
            await self.check_client()
        except Refused as refused:
            return refused
        except Exception as error:
            # Who may speak can't be known right now. Whoever may not can't log in either.
            self._report(error)
        return None

    async def check_client(self) -> None:
        """Judge the connecting address. Raise `Refused` for one that may not speak."""
        rules = await self.environment.admit(self.peer)
        await check_blocklists(self.environment, self.ip, rules)

    async def _next_command(self) -> None:
        try:
            await self._execute(await self.read_line(LONGEST_LINE))
        except Refused as refused:
            self.refuse(refused)
        except BareLineFeed:
            self.refuse(Refused(Reason.PROTOCOL, problem="lines end with CR and LF", cause="bare_lf"))
        except LineTooLong:
            self.refuse(Refused(Reason.BAD_COMMAND, cause="line_too_long"))
        except Idle:
            self.refuse(Refused(Reason.IDLE))
        except Interrupted:
            self.refuse(Refused(Reason.SHUTTING_DOWN))
        except Disconnected:
            raise
        except Exception as error:
            internal = Refused(Reason.INTERNAL, cause=type(error).__name__[:40])
            self._report(error, internal.reference)
            self.refuse(internal)

    async def _execute(self, line: bytes) -> None:
        word, _, argument = line.partition(b" ")
        verb = word.upper().decode("ascii", "replace")
        if verb in _FOREIGN:
            raise Refused(Reason.PROTOCOL, problem=f"{verb} belongs to another protocol", cause="foreign_protocol")
        if not line.strip(b" "):
            self.count_junk()
            self.refuse(Refused(Reason.BAD_COMMAND, cause="empty_line"), counts=False)
            return
        if self._turned_away and verb != "QUIT":
            refused = Refused(Reason.BAD_SEQUENCE, problem="only QUIT is left")
            refused.reference = self._turned_away.reference  # programs show their users the last error only
            raise refused
        method = self._smtp_methods.get(verb)
        if verb in _NOT_OFFERED:
            raise Refused(Reason.NOT_OFFERED)
        if method is None or _CONTROL.search(line):
            raise Refused(Reason.BAD_COMMAND)
        if len(line) > LONGER_COMMANDS.get(verb, COMMAND_LENGTH):
            raise Refused(Reason.BAD_COMMAND, cause="line_too_long")
        await method(_decode(verb, argument.strip(b" ")))

    def _report(self, error: Exception, reference: str | None = None) -> None:
        # Without the exception's text and without variables: either may hold what the client said.
        frames = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
        log.error("unexpected_exception", error=type(error).__name__, reference=reference, frames=frames)


def _decode(verb: str, argument: bytes) -> str:
    try:
        text = argument.decode()
    except UnicodeDecodeError:
        text = None
    if text is None or (not text.isascii() and verb not in _UTF8_COMMANDS):
        raise Refused(Reason.BAD_ARGUMENTS, problem="only ASCII is allowed, or UTF-8 in addresses")
    return text
